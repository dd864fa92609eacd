"""The *Trials* tab of task instances in Airflow's UI, from Airflow 3.1 on.

A static page whose script reads Airflow's API with the permissions of the signed-in user.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowPlugin
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

if TYPE_CHECKING:
    from starlette.staticfiles import StaticFiles
    from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).resolve().parent.parent / "static"


class StaticFilesApp:
    """ASGI application that serves the package's static files.

    Every component of Airflow loads this module: the web framework is imported with the first request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self._files(scope, receive, send)

    @cached_property
    def _files(self) -> StaticFiles:
        from starlette.responses import Response
        from starlette.staticfiles import StaticFiles

        class RevalidatedFiles(StaticFiles):
            """Static files that browsers revalidate at each use: an upgrade changes them together."""

            def file_response(self, *args: Any, **kwargs: Any) -> Response:
                response = super().file_response(*args, **kwargs)
                response.headers["Cache-Control"] = "no-cache"
                return response

        return RevalidatedFiles(directory=STATIC)


_APPS = [{"app": StaticFilesApp(), "url_prefix": "/modelarts", "name": "ModelArts"}]

# "href" has no leading slash: it is relative to the base path of Airflow
_VIEWS = [
    {
        "name": "Trials",
        "destination": "task_instance",
        "url_route": "modelarts_trials",
        "href": "modelarts/trials.html?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
    }
]


class ModelArtsPlugin(AirflowPlugin):
    """Plugin that adds the *Trials* tab; before Airflow 3.1 it adds nothing."""

    name = "modelarts"
    fastapi_apps = _APPS if AIRFLOW_V_3_1_PLUS else []
    external_views = _VIEWS if AIRFLOW_V_3_1_PLUS else []

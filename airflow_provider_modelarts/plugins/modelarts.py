"""The tab *Trials* of task instances in Airflow's UI, from Airflow 3.1 on.

It is a static page, whose script asks Airflow's own API as the user who looks: nothing here decides who may see what.
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


class StaticFolder:
    """An ASGI application that serves the package's static files.

    Every component of Airflow loads this module, but only its server needs a web framework, and only when asked.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._files(scope, receive, send)

    @cached_property
    def _files(self) -> StaticFiles:
        from starlette.responses import Response
        from starlette.staticfiles import StaticFiles

        class CheckedFiles(StaticFiles):
            """Has browsers ask each time whether a file is still the same, since an upgrade changes them together."""

            def file_response(self, *args: Any, **kwargs: Any) -> Response:
                response = super().file_response(*args, **kwargs)
                response.headers["Cache-Control"] = "no-cache"
                return response

        return CheckedFiles(directory=STATIC)


_APPS = [{"app": StaticFolder(), "url_prefix": "/modelarts", "name": "ModelArts"}]

# without a leading slash, and so below whatever path Airflow itself is served at
_VIEWS = [
    {
        "name": "Trials",
        "destination": "task_instance",
        "url_route": "modelarts_trials",
        "href": "modelarts/trials.html?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
    }
]


class ModelArtsPlugin(AirflowPlugin):
    """Adds the tab; below Airflow 3.1 it adds nothing."""

    name = "modelarts"
    fastapi_apps = _APPS if AIRFLOW_V_3_1_PLUS else []
    external_views = _VIEWS if AIRFLOW_V_3_1_PLUS else []

"""Report about a search."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
)
from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import RankingMixin
from airflow_provider_modelarts.task_exceptions import as_task_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_modelarts.core.jobs import ParameterImportance


class ModelArtsSearchReportOperator(RankingMixin):
    """Write a report about a hyperparameter search: a page that opens without a network, and the trials as data.

    The page ``report.html`` shows the objective, the best trial, a sortable table of all trials, and plots of the
    search history, the parameters and their importance. The files ``trials.csv`` and ``trials.json`` hold all trials,
    best first. A running search is reported in its current state; a search without a best trial is reported too.
    The plots require the extra ``optuna`` of this package.

    Each file replaces that of an earlier report only when it is complete, the page last: in a local folder by a rename,
    in an object store by the end of the upload.

    XCom: ``return_value`` maps the name of each file, such as ``report.html``, to its path. Key ``leaderboard`` lists
    the trials for the *Trials* tab of Airflow's UI. The events of asset outlets carry the paths as ``extra["report"]``.

    :param training_job_id: id of the search job. (templated)
    :param output_path: folder of the report: an absolute path, or a URL such as ``s3://bucket/reports/{{ ds }}``;
        created if it does not exist. (templated)
    :param storage_conn_id: id of the connection to the object store of ``output_path``. (templated)
    :param metric: column of the trial table to compare the trials by; the search's own objective when None. (templated)
    :param mode: ``max`` or ``min``; required if the search does not declare it. (templated)
    :param scope: which report of the search's own objective to compare, a trial's ``best`` or its ``last``; for any
        other metric it is the last. (templated)
    :param constraints: inclusive bounds of other metrics, such as ``{"loss": {"max": 0.1}}``; a mapping or JSON text.
        (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = (
        "training_job_id",
        "output_path",
        "storage_conn_id",
        "metric",
        "mode",
        "scope",
        "constraints",
        "modelarts_conn_id",
        "region",
        "project_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"constraints": "json"}
    ui_color = "#e6e0f2"

    def __init__(
        self,
        *,
        training_job_id: str,
        output_path: str,
        storage_conn_id: str | None = None,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "best",
        constraints: Mapping[str, Mapping[str, float]] | str | None = None,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.output_path = output_path
        self.storage_conn_id = storage_conn_id
        self.metric = metric
        self.mode = mode
        self.scope = scope
        self.constraints = constraints
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def execute(self, context: Context) -> dict[str, str]:
        """Read the search, write the files, and return their paths."""
        from airflow_provider_modelarts.report.page import check_libraries, report_files

        with as_task_errors():
            check_libraries()
            options = self.selection_options()
            folder = self._folder()
            ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
            snapshot, ranking = self.rank_trials(context, self.training_job_id, options)
            files = report_files(
                snapshot,
                ranking,
                url=self.hook.get_conn().settings.job_url(snapshot.job.id),
                importance=self._importance() if ranking.criterion.is_objective else (),
            )
        paths = {name: _write(folder / name, content) for name, content in files.items()}
        self.log.info("Wrote the report of training job %s to %s", snapshot.job.id, folder)
        self.update_outlet_events(context, {"report": dict(paths)})
        return paths

    def _folder(self) -> ObjectStoragePath:
        """Return the folder of the report, created if it did not exist.

        :raises ModelArtsConfigurationError: if the path is relative, or nothing installed can write to it.
        """
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_modelarts.core import coerce

        if not (self.output_path.startswith("/") or "://" in self.output_path):
            raise ModelArtsConfigurationError(
                f"output_path must be an absolute path or the URL of a folder, not {self.output_path!r}: "
                "a relative path depends on the worker's current directory"
            )
        conn_id = coerce.optional(lambda _, value: str(value), "storage_conn_id", self.storage_conn_id)
        try:
            folder = ObjectStoragePath(self.output_path, conn_id=conn_id)
            folder.mkdir(parents=True, exist_ok=True)
        except (ValueError, ImportError) as error:
            raise ModelArtsConfigurationError(f"output_path {self.output_path!r} cannot be used: {error}") from error
        return folder

    def _importance(self) -> Sequence[ParameterImportance]:
        """Return the platform's analysis of the parameters; empty if it returns none."""
        try:
            return self.hook.get_parameter_importance(self.training_job_id)
        except ModelArtsAuthenticationError:
            raise
        except ModelArtsError as error:
            self.log.info(
                "ModelArts returned no parameter analysis of training job %s; Optuna computes one instead: %s",
                self.training_job_id,
                error,
            )
            return ()


_LOCAL_PROTOCOLS = ("", "file", "local")


def _write(path: ObjectStoragePath, content: str) -> str:
    """Write a file so that readers see either all of it or the file before; return its path."""
    if path.protocol not in _LOCAL_PROTOCOLS:
        path.write_bytes(content.encode())  # an object store shows an object when its upload is complete
        return str(path)
    local = Path(path.path)
    temporary = local.with_name(f".{local.name}.{token_hex(4)}")
    try:
        temporary.write_bytes(content.encode())
        temporary.replace(local)
    finally:
        temporary.unlink(missing_ok=True)
    return str(path)

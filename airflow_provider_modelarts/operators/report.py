"""Writing a report about a search."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
)
from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import RANKING_FIELDS, RankingMixin
from airflow_provider_modelarts.task_exceptions import as_task_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_modelarts.core.jobs import ParameterImportance

_LOCAL = ("", "file", "local")


class ModelArtsSearchReportOperator(RankingMixin):
    """Writes a report about a hyperparameter search: a page that opens without a network, and its trials as data.

    The page ``report.html`` tells the objective and the best trial, lists all trials in a table that can be sorted,
    and draws the history of the search, its parameters and how much each matters. ``trials.csv`` and ``trials.json``
    beside it hold all trials, best first. A search that still runs is reported as it stands, and one in which no
    trial competes is reported too. The pictures need the extra ``optuna`` of this package.

    A file takes the place of that of an earlier report once it is whole, the page last: in a local folder it is written
    under another name and renamed; a store of objects shows an object once its upload is complete.

    XCom: ``return_value`` is the path of each file, under its name, such as ``report.html``. Key ``leaderboard`` holds
    the trials for the *Trials* tab of Airflow's UI. Events of assets among its outlets carry the paths as
    ``extra["report"]``.

    :param training_job_id: id of the search job. (templated)
    :param output_path: folder to write to: an absolute path, or such as ``s3://bucket/reports/{{ ds }}``; made if it is
        not there. (templated)
    :param storage_conn_id: id of the connection to the store of ``output_path``. (templated)

    The others are those of :class:`~airflow_provider_modelarts.operators.base.RankingMixin` and
    :class:`~airflow_provider_modelarts.operators.base.ModelArtsBaseOperator`.
    """

    template_fields: Sequence[str] = (
        "training_job_id",
        "output_path",
        *RANKING_FIELDS,
        "storage_conn_id",
        "modelarts_conn_id",
        "region",
        "project_id",
    )
    ui_color = "#e6e0f2"

    def __init__(
        self,
        *,
        training_job_id: str,
        output_path: str,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.output_path = output_path
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, str]:
        """Read the search, write the files, and return their paths."""
        from airflow_provider_modelarts.report.page import check_libraries, report_files

        with as_task_errors():
            check_libraries()
            wish = self.wish()
            folder = self.folder()
            ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
            look, ranking = self.rank_trials(context, self.training_job_id, wish)
            files = report_files(
                look,
                ranking,
                url=self.hook.get_conn().settings.job_url(look.job.id),
                importance=self.importance() if ranking.criterion.is_objective else (),
            )
        paths = {name: _write(folder / name, content) for name, content in files.items()}
        self.log.info("Wrote a report about training job %s to %s", look.job.id, folder)
        self.update_outlet_events(context, {"report": dict(paths)})
        return paths

    def folder(self) -> ObjectStoragePath:
        """Return the folder to write to, which is there.

        :raises ModelArtsConfigurationError: when nothing that is installed can write to such a place.
        """
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_modelarts.core import coerce

        if not (self.output_path.startswith("/") or "://" in self.output_path):
            raise ModelArtsConfigurationError(
                f"output_path must be an absolute path or the address of a store, not {self.output_path!r}: "
                "nobody knows in which folder a worker runs"
            )
        conn_id = coerce.optional(lambda _, value: str(value), "storage_conn_id", self.storage_conn_id)
        try:
            folder = ObjectStoragePath(self.output_path, conn_id=conn_id)
            folder.mkdir(parents=True, exist_ok=True)
        except (ValueError, ImportError) as error:
            raise ModelArtsConfigurationError(f"output_path {self.output_path!r} cannot be used: {error}") from error
        return folder

    def importance(self) -> Sequence[ParameterImportance]:
        """Return the platform's analysis; nothing where it gives none."""
        try:
            return self.hook.get_parameter_importance(self.training_job_id)
        except ModelArtsAuthenticationError:
            raise
        except ModelArtsError as error:
            self.log.info("ModelArts gives no analysis of the parameters, Optuna does: %s", error)
            return ()


def _write(path: ObjectStoragePath, content: str) -> str:
    """Write a file so that whoever reads it finds all of it, or the one before; return its path."""
    if path.protocol not in _LOCAL:
        path.write_bytes(content.encode())  # a store shows an object when its upload is complete
        return str(path)
    local = Path(path.path)
    beside = local.with_name(f".{local.name}.{token_hex(4)}")
    try:
        beside.write_bytes(content.encode())
        beside.replace(local)
    finally:
        beside.unlink(missing_ok=True)
    return str(path)

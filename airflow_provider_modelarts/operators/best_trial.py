"""Selection of the best trial of an existing search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import RankingMixin
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError, as_task_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.json_values import JSON


class BestTrialMixin(RankingMixin):
    """Selection of the best trial of a search."""

    ui_color = "#d8ecd4"

    top_k: int | str
    only_if_better_than: float | str | None
    on_not_better: str

    def selection_arguments(self) -> dict[str, object]:
        """Return the arguments of ranking and selection by name."""
        return {
            **super().selection_arguments(),
            "top_k": self.top_k,
            "only_if_better_than": self.only_if_better_than,
            "on_not_better": self.on_not_better,
        }

    def choose(self, context: Context, training_job_id: str) -> dict[str, JSON]:
        """Read a search, push its best trials, and return the config of the best one."""
        from airflow_provider_modelarts.core.json_values import as_object
        from airflow_provider_modelarts.core.selection import OnNotBetter, missed_threshold
        from airflow_provider_modelarts.core.xcom import chosen_records

        with as_task_errors():
            options = self.selection_options()
            snapshot, ranking = self.rank_trials(context, training_job_id, options)
            records = chosen_records(snapshot, ranking, options)
        context["ti"].xcom_push(key="best_trial", value=records[0])
        context["ti"].xcom_push(key="top_trials", value=records)
        if reason := missed_threshold(ranking, options):
            error = AirflowSkipException if options.on_not_better is OnNotBetter.SKIP else ModelArtsBestTrialError
            raise error(f"training job {snapshot.job.id}: {reason}")
        self.update_outlet_events(context, {"best_trial": records[0]})
        return as_object(records[0]["config"], "the config of the best trial")


class ModelArtsBestTrialOperator(BestTrialMixin):
    """Select the best trial of a hyperparameter search, and pass its config to downstream tasks.

    Only TERMINATED trials with a finite value compete; ties go to the lowest trial index. The task log shows the
    ranked table of trials.

    XCom: ``return_value`` is the config of the best trial, a flat JSON object with the types of the search:
    ``{{ ti.xcom_pull(task_ids="best_trial")["learning_rate"] }}`` is a number. Key ``best_trial`` is the whole record
    of that trial, key ``top_trials`` a list of ``top_k`` such records. Key ``leaderboard`` lists the trials for the
    *Trials* tab of Airflow's UI, up to a size limit. The events of asset outlets carry the record as
    ``extra["best_trial"]``.

    :param training_job_id: id of the search job. (templated)
    :param metric: column of the trial table to compare the trials by; the search's own objective when None. (templated)
    :param mode: ``max`` or ``min``; required if the search does not declare it. (templated)
    :param scope: which report of the search's own objective to compare, a trial's ``best`` or its ``last``; for any
        other metric it is the last. (templated)
    :param constraints: inclusive bounds of other metrics, such as ``{"loss": {"max": 0.1}}``; a mapping or JSON text.
        (templated)
    :param top_k: number of trials in ``top_trials``, 1 to 100. (templated)
    :param only_if_better_than: value that the best trial must beat strictly, such as that of the model in use; None
        and blank text set no threshold. (templated)
    :param on_not_better: ``skip`` or ``fail`` the task if the best trial does not beat ``only_if_better_than``.
        (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = (
        "training_job_id",
        "metric",
        "mode",
        "scope",
        "constraints",
        "top_k",
        "only_if_better_than",
        "on_not_better",
        "modelarts_conn_id",
        "region",
        "project_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"constraints": "json"}

    def __init__(
        self,
        *,
        training_job_id: str,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "best",
        constraints: Mapping[str, Mapping[str, float]] | str | None = None,
        top_k: int | str = 1,
        only_if_better_than: float | str | None = None,
        on_not_better: str = "skip",
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.metric = metric
        self.mode = mode
        self.scope = scope
        self.constraints = constraints
        self.top_k = top_k
        self.only_if_better_than = only_if_better_than
        self.on_not_better = on_not_better
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def execute(self, context: Context) -> dict[str, JSON]:
        """Read the search, push its best trials, and return the config of the best one."""
        with as_task_errors():
            ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
        return self.choose(context, self.training_job_id)

"""Choosing the best trial of a search that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import RANKING_FIELDS, RankingMixin
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError, as_task_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.json_values import JSON

BEST_TRIAL_FIELDS = (*RANKING_FIELDS, "top_k", "only_if_better_than", "on_not_better")


class BestTrialMixin(RankingMixin):
    """Chooses among the trials of a search, and hands the best on.

    :param top_k: how many trials to hand on, 1 to 100. (templated)
    :param only_if_better_than: hand a config on only if its value is strictly better, say than the model in use; None
        and blank text set no such bar. (templated)
    :param on_not_better: what to do if it is not: ``skip`` this task, and so those after it, or ``fail``. (templated)

    The others are those of :class:`~airflow_provider_modelarts.operators.base.RankingMixin`.
    """

    option_fields: ClassVar[tuple[str, ...]] = BEST_TRIAL_FIELDS
    ui_color = "#d8ecd4"

    def __init__(
        self,
        *,
        top_k: int | str = 1,
        only_if_better_than: float | str | None = None,
        on_not_better: str = "skip",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.top_k = top_k
        self.only_if_better_than = only_if_better_than
        self.on_not_better = on_not_better

    def choose(self, context: Context, training_job_id: str) -> dict[str, JSON]:
        """Read a search, push its best trials, and return the config of the best."""
        from airflow_provider_modelarts.core.json_values import as_object
        from airflow_provider_modelarts.core.selection import OnNotBetter, missed_threshold
        from airflow_provider_modelarts.core.xcom import chosen_records

        with as_task_errors():
            wish = self.wish()
            look, ranking = self.rank_trials(context, training_job_id, wish)
            records = chosen_records(look, ranking, wish)
        context["ti"].xcom_push(key="best_trial", value=records[0])
        context["ti"].xcom_push(key="top_trials", value=records)
        if reason := missed_threshold(ranking, wish):
            not_better = AirflowSkipException if wish.on_not_better is OnNotBetter.SKIP else ModelArtsBestTrialError
            raise not_better(f"training job {look.job.id}: {reason}")
        self.update_outlet_events(context, {"best_trial": records[0]})
        return as_object(records[0]["config"], "the config of the best trial")


class ModelArtsBestTrialOperator(BestTrialMixin):
    """Chooses the best trial of a hyperparameter search, and hands its config to later tasks.

    Only TERMINATED trials with a finite value compete; ties go to the lowest trial index. The task log shows the
    ranked table of trials.

    XCom: ``return_value`` is the config of the best trial, a flat JSON object with the types of the search, so that
    ``{{ ti.xcom_pull(task_ids="best_trial")["learning_rate"] }}`` is a number. Key ``best_trial`` holds the whole
    record of that trial, key ``top_trials`` a list of ``top_k`` such records. Key ``leaderboard`` holds all trials for
    which there is room, for the *Trials* tab of Airflow's UI. Events of assets among its outlets carry the record too,
    as ``extra["best_trial"]``.

    :param training_job_id: id of the search job. (templated)

    The others are those of :class:`BestTrialMixin`,
    :class:`~airflow_provider_modelarts.operators.base.RankingMixin` and
    :class:`~airflow_provider_modelarts.operators.base.ModelArtsBaseOperator`.
    """

    template_fields: Sequence[str] = (
        "training_job_id",
        "modelarts_conn_id",
        "region",
        "project_id",
        *BEST_TRIAL_FIELDS,
    )

    def __init__(self, *, training_job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id

    def execute(self, context: Context) -> dict[str, JSON]:
        """Read the search, push the best trials, and return the config of the best."""
        with as_task_errors():
            ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
        return self.choose(context, self.training_job_id)

"""Choosing the best trial of a search that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import ModelArtsOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError, as_task_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.choice import Wish
    from airflow_provider_modelarts.core.shapes import JSON

CHOICE_FIELDS = ("metric", "mode", "scope", "top_k", "constraints", "only_if_better_than", "on_not_better")


class ChoosesBestTrial(ModelArtsOperator):
    """Chooses among the trials of a search, and hands the best on.

    :param metric: what to compare by, the name of a column of the trial table; the search's own objective when None.
        (templated)
    :param mode: ``max`` or ``min``; needed only where the search does not tell it. (templated)
    :param scope: for the search's own objective, whether a trial's ``best`` report counts or its ``last``; any other
        metric is its last value. (templated)
    :param top_k: how many trials to hand on, 1 to 100. (templated)
    :param constraints: bounds that other metrics must keep, such as ``{"loss": {"max": 0.1}}``, ends included; a
        mapping or JSON text. (templated)
    :param only_if_better_than: hand a config on only if its value is strictly better, say than the model in use; None
        and blank text set no such bar. (templated)
    :param on_not_better: what to do if it is not: ``skip`` this task, and so those after it, or ``fail``. (templated)
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"constraints": "json"}
    ui_color = "#d8ecd4"

    def __init__(
        self,
        *,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "best",
        top_k: int | str = 1,
        constraints: Mapping[str, Mapping[str, float]] | str | None = None,
        only_if_better_than: float | str | None = None,
        on_not_better: str = "skip",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metric = metric
        self.mode = mode
        self.scope = scope
        self.top_k = top_k
        self.constraints = constraints
        self.only_if_better_than = only_if_better_than
        self.on_not_better = on_not_better

    def choose(self, context: Context, training_job_id: str) -> dict[str, JSON]:
        """Read a search, push its best trials, and return the config of the best."""
        from airflow_provider_modelarts.core.choice import OnNotBetter, caveat, chosen_records, ranking_of, shortfall
        from airflow_provider_modelarts.core.flows import choose_from_search
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.log_lines import ranking_table
        from airflow_provider_modelarts.core.shapes import as_object

        with as_task_errors():
            wish = self.wish()
            look = self.hook.run(choose_from_search(training_job_id))
            ranking = ranking_of(look, wish)
            if words := caveat(look.job):
                self.log.warning("%s", words)
            self.log.info("Training job %s has %s", look.job.id, ranking_table(ranking))
            context["ti"].xcom_push(key="leaderboard", value=leaderboard(look, ranking))
            records = chosen_records(look, ranking, wish)
        context["ti"].xcom_push(key="best_trial", value=records[0])
        context["ti"].xcom_push(key="top_trials", value=records)
        if reason := shortfall(ranking, wish):
            not_better = AirflowSkipException if wish.on_not_better is OnNotBetter.SKIP else ModelArtsBestTrialError
            raise not_better(f"training job {look.job.id}: {reason}")
        self.tell_assets(context, {"best_trial": records[0]})
        return as_object(records[0]["config"], "the config of the best trial")

    def wish(self) -> Wish:
        """Return the arguments of choosing, checked."""
        from airflow_provider_modelarts.core.choice import read_wish

        return read_wish(**{name: getattr(self, name) for name in CHOICE_FIELDS})


class ModelArtsBestTrialOperator(ChoosesBestTrial):
    """Chooses the best trial of a hyperparameter search, and hands its config to later tasks.

    Only TERMINATED trials with a finite value compete; ties go to the lowest trial index. The task log shows the
    ranked table of trials.

    XCom: ``return_value`` is the config of the best trial, a flat JSON object with the types of the search, so that
    ``{{ ti.xcom_pull(task_ids="best_trial")["learning_rate"] }}`` is a number. Key ``best_trial`` holds the whole
    record of that trial, key ``top_trials`` a list of ``top_k`` such records. Key ``leaderboard`` holds all trials for
    which there is room, for the *Trials* tab of Airflow's UI. Events of assets among its outlets carry the record too,
    as ``extra["best_trial"]``.

    :param training_job_id: id of the search job. (templated)

    The others are those of :class:`ChoosesBestTrial` and
    :class:`~airflow_provider_modelarts.operators.base.ModelArtsOperator`.
    """

    template_fields: Sequence[str] = ("training_job_id", "modelarts_conn_id", "region", "project_id", *CHOICE_FIELDS)

    def __init__(self, *, training_job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id

    def execute(self, context: Context) -> dict[str, JSON]:
        """Read the search, push the best trials, and return the config of the best."""
        with as_task_errors():
            ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
        return self.choose(context, self.training_job_id)

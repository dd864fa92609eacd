"""Base of all operators: connection, link, ranking options."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.progress import SearchSnapshot
    from airflow_provider_modelarts.core.selection import Ranking, SelectionOptions
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


class ModelArtsBaseOperator(BaseOperator):
    """An operator with a connection.

    :param modelarts_conn_id: id of the connection. (templated)
    :param region: region instead of the connection's. (templated)
    :param project_id: project id instead of the connection's. (templated)
    """

    operator_extra_links = (ModelArtsTrainingJobLink(),)

    def __init__(
        self,
        *,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    @cached_property
    def hook(self) -> ModelArtsHook:
        """The hook that makes the calls."""
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    def update_outlet_events(self, context: Context, extra: Mapping[str, JSON]) -> None:
        """Put facts into the events of this task's outlets, so that a DAG scheduled on them receives them."""
        for outlet in self.outlets or ():
            if hasattr(outlet, "uri"):
                context["outlet_events"][outlet].extra.update(extra)


RANKING_FIELDS = ("metric", "mode", "scope", "constraints")


class RankingMixin(ModelArtsBaseOperator):
    """Ranks the trials of a search, shows them in the log, and leaves them for the tab *Trials*.

    :param metric: what to compare by, the name of a column of the trial table; the search's own objective when None.
        (templated)
    :param mode: ``max`` or ``min``; needed only where the search does not tell it. (templated)
    :param scope: for the search's own objective, whether a trial's ``best`` report counts or its ``last``; any other
        metric is its last value. (templated)
    :param constraints: bounds that other metrics must keep, such as ``{"loss": {"max": 0.1}}``, ends included; a
        mapping or JSON text. (templated)
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"constraints": "json"}
    #: Names of the arguments that a wish is made of.
    option_fields: ClassVar[tuple[str, ...]] = RANKING_FIELDS

    def __init__(
        self,
        *,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "best",
        constraints: Mapping[str, Mapping[str, float]] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metric = metric
        self.mode = mode
        self.scope = scope
        self.constraints = constraints

    def wish(self) -> SelectionOptions:
        """Return the arguments of ranking and choosing, checked."""
        from airflow_provider_modelarts.core.selection import read_selection_options

        return read_selection_options(**{name: getattr(self, name) for name in self.option_fields})

    def rank_trials(
        self, context: Context, training_job_id: str, wish: SelectionOptions
    ) -> tuple[SearchSnapshot, Ranking]:
        """Read a search and rank its trials as wished."""
        from airflow_provider_modelarts.api.flows import snapshot_for_ranking
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.log_lines import ranking_table
        from airflow_provider_modelarts.core.selection import caveat, rank_snapshot

        look = self.hook.run(snapshot_for_ranking(training_job_id))
        ranking = rank_snapshot(look, wish)
        if words := caveat(look.job):
            self.log.warning("%s", words)
        self.log.info("Training job %s has %s", look.job.id, ranking_table(ranking))
        context["ti"].xcom_push(key="leaderboard", value=leaderboard(look, ranking))
        return look, ranking

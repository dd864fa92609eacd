"""Ranking the trials of a search: what the operators that choose and that report share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_modelarts.operators.base import ModelArtsOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.choice import Wish
    from airflow_provider_modelarts.core.flows import Look
    from airflow_provider_modelarts.core.selection import Ranking

RANKING_FIELDS = ("metric", "mode", "scope", "constraints")


class RanksTrials(ModelArtsOperator):
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
    wish_fields: ClassVar[tuple[str, ...]] = RANKING_FIELDS

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

    def wish(self) -> Wish:
        """Return the arguments of ranking and choosing, checked."""
        from airflow_provider_modelarts.core.choice import read_wish

        return read_wish(**{name: getattr(self, name) for name in self.wish_fields})

    def rank_trials(self, context: Context, training_job_id: str, wish: Wish) -> tuple[Look, Ranking]:
        """Read a search and rank its trials as wished."""
        from airflow_provider_modelarts.core.choice import caveat, ranking_of
        from airflow_provider_modelarts.core.flows import choose_from_search
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.log_lines import ranking_table

        look = self.hook.run(choose_from_search(training_job_id))
        ranking = ranking_of(look, wish)
        if words := caveat(look.job):
            self.log.warning("%s", words)
        self.log.info("Training job %s has %s", look.job.id, ranking_table(ranking))
        context["ti"].xcom_push(key="leaderboard", value=leaderboard(look, ranking))
        return look, ranking

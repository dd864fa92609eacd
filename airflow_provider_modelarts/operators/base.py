"""Base of all operators: connection, link, ranking options."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.progress import SearchSnapshot
    from airflow_provider_modelarts.core.selection import Ranking, SelectionOptions
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


class ModelArtsBaseOperator(BaseOperator):
    """Operator with a connection. Each operator sets the attributes in its own constructor."""

    operator_extra_links: Sequence[BaseOperatorLink] = (ModelArtsTrainingJobLink(),)

    modelarts_conn_id: str
    region: str | None
    project_id: str | None

    @cached_property
    def hook(self) -> ModelArtsHook:
        """Hook of the connection."""
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    def update_outlet_events(self, context: Context, extra: Mapping[str, JSON]) -> None:
        """Add ``extra`` to the events of this task's outlets, for the DAGs that are scheduled on them."""
        for outlet in self.outlets or ():
            if hasattr(outlet, "uri"):
                context["outlet_events"][outlet].extra.update(extra)


class RankingMixin(ModelArtsBaseOperator):
    """Ranking of the trials of a search: into the task log, and into XCom for the *Trials* tab."""

    metric: str | None
    mode: str | None
    scope: str
    constraints: Mapping[str, Mapping[str, float]] | str | None

    def selection_arguments(self) -> dict[str, object]:
        """Return the arguments of the ranking by name."""
        return {"metric": self.metric, "mode": self.mode, "scope": self.scope, "constraints": self.constraints}

    def selection_options(self) -> SelectionOptions:
        """Return the selection arguments, validated."""
        from airflow_provider_modelarts.core.selection import read_selection_options

        arguments: dict[str, Any] = self.selection_arguments()
        return read_selection_options(**arguments)

    def rank_trials(
        self, context: Context, training_job_id: str, options: SelectionOptions
    ) -> tuple[SearchSnapshot, Ranking]:
        """Read a search, and rank its trials."""
        from airflow_provider_modelarts.api.flows import snapshot_for_ranking
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.log_lines import ranking_table
        from airflow_provider_modelarts.core.selection import caveat, rank_snapshot

        snapshot = self.hook.run(snapshot_for_ranking(training_job_id))
        ranking = rank_snapshot(snapshot, options)
        if warning := caveat(snapshot.job):
            self.log.warning("%s", warning)
        self.log.info("Training job %s has %s", snapshot.job.id, ranking_table(ranking))
        context["ti"].xcom_push(key="leaderboard", value=leaderboard(snapshot, ranking))
        return snapshot, ranking

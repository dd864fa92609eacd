"""What the operators share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.shapes import JSON
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


class ModelArtsOperator(BaseOperator):
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

    def tell_assets(self, context: Context, extra: Mapping[str, JSON]) -> None:
        """Put facts into the events of this task's outlets, so that a DAG scheduled on them receives them."""
        for outlet in self.outlets or ():
            if hasattr(outlet, "uri"):
                context["outlet_events"][outlet].extra.update(extra)

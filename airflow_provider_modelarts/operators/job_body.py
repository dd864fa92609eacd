"""What a job is created from: the arguments of operators that tell its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_modelarts.operators.base import ModelArtsOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_modelarts.core.shapes import JSON


class TakesJobBody(ModelArtsOperator):
    """Takes the body of a training job, and hyperparameters to put into it.

    :param body: of CreateTrainingJob: a mapping, JSON text, or the name of a ``.json`` file beside the DAG; its name is
        replaced. (templated)
    :param hyperparameters: values to put into ``algorithm.parameters`` of the body, such as the config of the best
        trial; a mapping or JSON text. What renders to nothing is an error: ``{}`` gives none. (templated)
    """

    template_ext: Sequence[str] = (".json",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"body": "json", "hyperparameters": "json"}

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        hyperparameters: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.hyperparameters = hyperparameters
        self._are_given = hyperparameters is not None

    def job_body(self) -> dict[str, JSON]:
        """Return the body to send; all arguments are checked on the way, before anything is sent."""
        from airflow_provider_modelarts.core.job_bodies import read_body, with_hyperparameters

        return with_hyperparameters(read_body(self.body), self._hyperparameters())

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render an argument.

        Only an argument that is text by itself can name a file: within a body, ``ds_config.json`` is a value.
        """
        if isinstance(content, str):
            return super().render_template(content, *args, **kwargs)
        extensions, self.template_ext = self.template_ext, ()
        try:
            return super().render_template(content, *args, **kwargs)
        finally:
            self.template_ext = extensions

    def _hyperparameters(self) -> Mapping[str, object]:
        from airflow_provider_modelarts.core import coerce
        from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

        if not self._are_given:
            return {}
        if self.hyperparameters in (None, "", "None"):
            raise ModelArtsConfigurationError(
                "hyperparameters are empty: what they are taken from has given nothing; is its task id right?"
            )
        return coerce.mapping("hyperparameters", self.hyperparameters)

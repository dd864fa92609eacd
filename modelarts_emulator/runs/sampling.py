"""Draws the configurations of a search with Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.errors import bad_request
from modelarts_emulator.runs.plans import SearchPlan
from modelarts_emulator.runs.spaces import Choice, Grid, Parameter, Span

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


class Sampler:
    """Draws configurations, and learns from what became of them.

    The same seed draws the same first configurations; from ``n_initial_points`` on it matters which trials have ended.
    """

    def __init__(self, plan: SearchPlan) -> None:
        optuna = import_optuna()
        self._space = {parameter.name: parameter for parameter in plan.space}
        self._distributions = {parameter.name: _distribution(parameter) for parameter in plan.space}
        sampler = optuna.samplers.TPESampler(seed=plan.seed, n_startup_trials=plan.initial_points)
        self._study = new_study(plan.objectives[0].mode, sampler)

    def ask(self) -> tuple[int, dict[str, tuple[JSON, str]]]:
        """Return the number of a new trial, and its values with their texts."""
        trial = self._study.ask(self._distributions)
        return trial.number, {name: self._space[name].at(drawn) for name, drawn in trial.params.items()}

    def tell(self, number: int, value: float | None) -> None:
        """Learn the value that a trial came to; None for none."""
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)


def new_study(mode: Mode, sampler: BaseSampler | None = None) -> Study:
    """Return an empty study, kept in memory. Optuna's announcement of it is held back."""
    optuna = import_optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study: Study = optuna.create_study(direction=f"{mode}imize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study


def import_optuna() -> Any:
    """Return Optuna, or the refusal that tells how to install it."""
    try:
        import optuna
    except ImportError:
        raise bad_request(
            "2788",
            "The emulator searches with Optuna, which is not installed: "
            "pip install 'airflow-provider-modelarts[optuna]'.",
        ) from None
    return optuna


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case Span(whole=True, low=low, high=high):
            return IntDistribution(int(low), int(high))
        case Span(low=low, high=high):
            return FloatDistribution(low, high)
        case Grid(points=points):
            return IntDistribution(0, points - 1)
        case Choice(values=values):
            return CategoricalDistribution(range(len(values)))

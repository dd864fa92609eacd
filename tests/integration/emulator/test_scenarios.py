"""Best trials of the scenarios, found by the client and the selection of the provider."""

from __future__ import annotations

import pytest
from integration.emulated import settings_of
from unit.emulator.truth import TRUTH, TRUTH_BY_METRIC

from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.selection import criterion_for, rank, select_best

WITH_BEST = [scenario for scenario, truth in TRUTH.items() if truth.best]


@pytest.mark.parametrize(
    "options", [{}, {"config_encoding": "decimal", "offset_unit": "row", "header_seed": 7}], ids=str
)
@pytest.mark.parametrize("scenario", WITH_BEST)
def test_best_trial_of_scenario_is_found(modelarts_emulator_factory, scenario, options):
    """The best trial is the one that was determined by hand, in every encoding of the table."""
    with modelarts_emulator_factory(scenarios=[scenario], **options) as emulator:
        job_id = emulator.job_id(scenario)
        with ModelArtsClient(settings_of(emulator)) as client:
            for _ in range(TRUTH[scenario].looks):
                client.get_training_job(job_id)
            job = client.get_training_job(job_id)
            search = job.search or client.get_algorithm(job.algorithm_id).search
            (best,) = select_best(rank(client.list_trials(job_id), criterion_for(search)))

    truth = TRUTH[scenario].best
    assert (best.trial.trial_id, best.value, best.trial.config) == (truth.trial_id, truth.value, truth.config)


@pytest.mark.parametrize(("scenario", "metric", "mode", "truth"), TRUTH_BY_METRIC)
def test_best_trial_by_a_named_metric_is_found(modelarts_emulator, scenario, metric, mode, truth):
    """A search without one clear objective requires a metric and a mode."""
    job_id = modelarts_emulator.job_id(scenario)
    with ModelArtsClient(settings_of(modelarts_emulator)) as client:
        for _ in range(TRUTH[scenario].looks):
            client.get_training_job(job_id)
        search = client.get_training_job(job_id).search
        criterion = criterion_for(search, metric=metric, mode=Mode(mode))
        (best,) = select_best(rank(client.list_trials(job_id), criterion))

    assert (best.trial.trial_id, best.value, best.trial.config) == (truth.trial_id, truth.value, truth.config)

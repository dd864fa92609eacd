"""Errors of tasks, as subclasses of Airflow's own, and their translation from :mod:`~.exceptions`.

::

    AirflowException
    ├── ModelArtsTrainingJobFailedError     a job that the task created failed; a retry creates a new one
    ├── ModelArtsTaskInterruptedError       the worker received SIGTERM; a retry adopts the job
    └── AirflowFailException                no retry of the task can succeed
        ├── ModelArtsSearchFailedError      the search or its job failed or was stopped; ``soft_fail`` skips
        ├── ModelArtsBestTrialError         the trials were read, but none can be selected as the best
        └── ModelArtsCallRefusedError       a credential was refused, or an argument is wrong; ``soft_fail`` is ignored

Any other failed call keeps its own class: the task fails, and its ``retries`` apply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsNoBestTrialError,
)


class ModelArtsTrainingJobFailedError(AirflowException):
    """A training job that the task created failed or was stopped. A retry of the task creates a new one."""


class ModelArtsTaskInterruptedError(AirflowException):
    """The process of the task received SIGTERM before its job had ended.

    A retry adopts the job, unless the task was ended.
    """


class ModelArtsSearchFailedError(AirflowFailException):
    """The search, or a training job, failed or was stopped, and no retry can help."""


class ModelArtsBestTrialError(AirflowFailException):
    """The trials were read, but none of them can be selected as the best."""


class ModelArtsCallRefusedError(AirflowFailException):
    """A credential or its signature was refused, or an argument is wrong.

    Retries with the same access key would lock it: five bad signatures in a row do.
    """


@contextmanager
def as_task_errors() -> Iterator[None]:
    """Translate errors that no retry of the task can fix into those that stop its retries."""
    try:
        yield
    except (ModelArtsAuthenticationError, ModelArtsConfigurationError) as error:
        raise ModelArtsCallRefusedError(str(error)) from error
    except ModelArtsNoBestTrialError as error:
        raise ModelArtsBestTrialError(str(error)) from error

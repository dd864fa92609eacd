"""What tasks raise, in Airflow's own classes, and the one translation from :mod:`~.exceptions`.

::

    AirflowException
    ├── ModelArtsTrainingJobFailedError     a job that the task had created did not end well; a retry creates anew
    └── AirflowFailException                no retry of the task can help
        ├── ModelArtsSearchFailedError      the search or its job did not end well; ``soft_fail`` skips
        ├── ModelArtsBestTrialError         the search ended, but no trial can be called the best
        └── ModelArtsCallRefusedError       the key was refused, or an argument is wrong; ``soft_fail`` hides neither

Any other call that failed keeps its own class: the task fails, and its ``retries`` apply.
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
    """A training job that the task had created did not end well. A retry of the task creates a new one."""


class ModelArtsSearchFailedError(AirflowFailException):
    """The search, or the training job that runs it, did not end well."""


class ModelArtsBestTrialError(AirflowFailException):
    """The trials were read, and none of them can be called the best."""


class ModelArtsCallRefusedError(AirflowFailException):
    """The key or its signature was refused, or an argument is wrong.

    Trying again with the same key would lock it after five bad signatures.
    """


@contextmanager
def as_task_errors() -> Iterator[None]:
    """Turn errors that no retry of the task can mend into those that stop its retries."""
    try:
        yield
    except (ModelArtsAuthenticationError, ModelArtsConfigurationError) as error:
        raise ModelArtsCallRefusedError(str(error)) from error
    except ModelArtsNoBestTrialError as error:
        raise ModelArtsBestTrialError(str(error)) from error

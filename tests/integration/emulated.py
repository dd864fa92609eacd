"""Settings and credentials of clients that call an emulator."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_provider_modelarts.api.credentials import PasswordLogin
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.settings import Settings, read_connection
from modelarts_emulator import DEMO_USER, Emulator

#: Credentials of the emulator's IAM user.
DEMO_LOGIN = PasswordLogin(DEMO_USER.name, DEMO_USER.password, DEMO_USER.domain_name)

#: Retries with short delays, for two seconds in all.
QUICK_RETRY = RetryPolicy(first_delay=0.002, max_delay=0.02, total=2.0)


def requests_for(emulator: Emulator, word: str) -> int:
    """Return the number of requests with a word in their path."""
    return sum(word in request.path for request in emulator.requests)


def settings_of(emulator: Emulator, **changes: Any) -> Settings:
    """Return the settings of the emulator's Airflow connection, with quick retries.

    :param changes: other values of :class:`Settings`.
    """
    connection: dict[str, Any] = emulator.connection()
    settings = read_connection(
        login=connection["login"], password=connection["password"], host=None, port=None, extra=connection["extra"]
    )
    # the emulator speaks no TLS, whose certificates load slowly
    return dataclasses.replace(settings, **{"retry": QUICK_RETRY, "verify": False, **changes})

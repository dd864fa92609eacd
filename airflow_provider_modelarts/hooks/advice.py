"""What to do about an answer that says no, for whoever reads it and knows the connection by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_modelarts.core.exchange import known_project_id
from airflow_provider_modelarts.core.sign_in import MetadataLogin, PasswordLogin
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsNotFoundError,
    with_advice,
)

if TYPE_CHECKING:
    from airflow_provider_modelarts.core.settings import Settings
    from airflow_provider_modelarts.exceptions import ModelArtsError


def advised(error: ModelArtsError, settings: Settings, conn_id: str) -> ModelArtsError:
    """Return an error that also says which connection led there, where that may be the reason.

    It is another one then: many waits may share the error of a sign-in.
    """
    advice = _advice(error, settings, f"connection {conn_id!r}") if isinstance(error, ModelArtsApiError) else None
    return with_advice(error, f"{advice}.") if advice else error


def _advice(error: ModelArtsApiError, settings: Settings, connection: str) -> str | None:
    match error, settings.sign_in:
        case ModelArtsNotFoundError(), _:
            return f"Looked in {_place(settings)} ({connection})"
        case ModelArtsAuthenticationError(), AccessKey():
            clock = "this machine's clock; five bad signatures lock a key"
            return f"Check login and password of {connection}, and {clock}"
        case ModelArtsAuthenticationError(), PasswordLogin():
            return f"Check login, password and domain_name of {connection}"
        case ModelArtsAuthenticationError(), MetadataLogin():
            return f"Check the agency of this server, as which {connection} signs in"
    return None


def _place(settings: Settings) -> str:
    place = settings.endpoint or f"region {settings.region}"
    project_id = known_project_id(settings)
    return f"{place}, project {project_id}" if project_id else place

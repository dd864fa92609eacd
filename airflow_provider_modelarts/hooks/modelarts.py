"""Hook: from an Airflow connection to a client, with hints in errors, masked secrets, and shared reads."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_modelarts import get_provider_info
from airflow_provider_modelarts.api.connection_pool import single_flight
from airflow_provider_modelarts.api.credentials import Environment, MetadataLogin, PasswordLogin
from airflow_provider_modelarts.api.session import known_project_id
from airflow_provider_modelarts.api.settings import Settings, read_connection
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.client import ModelArtsClient, ModelArtsOperations
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsNotFoundError,
    with_hint,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_modelarts.api.operations import Request
    from airflow_provider_modelarts.async_client import AsyncModelArtsClient
    from airflow_provider_modelarts.exceptions import ModelArtsError


T = TypeVar("T")

#: Connection id, region and project id of a hook.
_Source: TypeAlias = "tuple[str, str | None, str | None]"

# To read a connection, a triggerer of Airflow 3 exchanges several messages with its supervisor, which takes one at a
# time: for a thousand waits that start together it would take minutes, in which no other trigger is served.
_SHARED_SECONDS = 10.0  # for which other waits take the settings that one has read

_read: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Source, tuple[float, Settings]]] = WeakKeyDictionary()


class ModelArtsHook(BaseHook, ModelArtsOperations):
    """Calls of the ModelArts API with the credentials of an Airflow connection.

    The connection has the type ``modelarts``; one of the type ``huaweicloud`` of the other provider for this cloud
    works too. Nothing is read or sent before the first call.

    :param modelarts_conn_id: id of the connection.
    :param region: takes precedence over the connection's region, whose project id is then ignored.
    :param project_id: takes precedence over the connection's project id.
    """

    conn_name_attr = "modelarts_conn_id"
    default_conn_name = "modelarts_default"
    conn_type = get_provider_info.CONNECTION_TYPE
    hook_name = get_provider_info.HOOK_NAME

    def __init__(
        self,
        modelarts_conn_id: str = default_conn_name,
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def get_conn(self) -> ModelArtsClient:
        """Return the client, the same at each call; it keeps its connections alive."""
        return self._client

    async def get_async_conn(self, *, is_urgent: bool = False) -> AsyncModelArtsClient:
        """Return a new asynchronous client; close it, or use it in an ``async with`` statement.

        The connection is read without blocking the event loop, once for all hooks that read it at the same time.

        :param is_urgent: its calls wait for no other calls.
        """
        from airflow_provider_modelarts.async_client import AsyncModelArtsClient

        source = self.modelarts_conn_id, self.region, self.project_id

        settings = await settings_of(source, self._read_settings_async)

        async def reload() -> Settings:
            nonlocal settings
            settings = await settings_of(source, self._read_settings_async, refused=settings)
            return settings

        return AsyncModelArtsClient(settings, reload=reload, on_secret=mask_secret_async, is_urgent=is_urgent)

    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the response."""
        try:
            return self._client.call(request)
        except ModelArtsApiError as error:
            hinted = with_connection_hint(error, self._client.settings, self.modelarts_conn_id)
            raise hinted.with_traceback(error.__traceback__) from error.__cause__

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and with which endpoint; or the reason why it does not."""
        try:
            return self._client.test_connection()
        except ModelArtsConfigurationError as error:
            return False, str(error)

    @cached_property
    def _client(self) -> ModelArtsClient:
        return ModelArtsClient(self._read_settings(), reload=self._read_settings, on_secret=mask_secret)

    def _read_settings(self) -> Settings:
        conn = self.get_connection(self.modelarts_conn_id)
        return self._settings(conn, conn.extra_dejson)

    async def _read_settings_async(self) -> Settings:
        from airflow.providers.common.compat.connection import get_async_connection

        conn = await get_async_connection(self.modelarts_conn_id)
        # from Airflow 3.3.2 on, extras are masked over the supervisor's connection, which must not block the loop
        extra = await conn.aextra_dejson() if hasattr(conn, "aextra_dejson") else conn.extra_dejson
        return await asyncio.to_thread(self._settings, conn, extra)  # a profile file may have to be read

    def _settings(self, conn: Connection, extra: Mapping[str, object]) -> Settings:
        try:
            return read_connection(
                login=conn.login,
                password=conn.password,
                host=conn.host,
                port=conn.port,
                extra=extra,
                region=self.region,
                project_id=self.project_id,
                environment=Environment(os.environ, _read_file),
            )
        except ModelArtsConfigurationError as error:
            raise ModelArtsConfigurationError(f"connection {self.modelarts_conn_id!r}: {error}") from error

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the form, for Airflow 2.11 to 3.1."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import PasswordField, StringField

        widgets = {}
        for name, (label, description, schema) in get_provider_info.EXTRA_FIELDS.items():
            is_secret = schema.get("format") == "password"
            field, widget = (PasswordField, BS3PasswordFieldWidget) if is_secret else (StringField, BS3TextFieldWidget)
            widgets[name] = field(lazy_gettext(label), description=description, widget=widget())
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels and placeholders of the form, for Airflow 2.11 to 3.1."""
        return {
            "hidden_fields": get_provider_info.HIDDEN_FIELDS,
            "relabeling": get_provider_info.RELABELING,
            "placeholders": get_provider_info.PLACEHOLDERS,
        }


def _read_file(path: str) -> str | None:
    """Return the text of a file; None where none can be read."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def with_connection_hint(error: ModelArtsError, settings: Settings, conn_id: str) -> ModelArtsError:
    """Return an error with a hint at its connection, where the connection may be the reason.

    The error itself is left as it is: many waits may share that of one login.
    """
    hint = _hint(error, settings, f"connection {conn_id!r}") if isinstance(error, ModelArtsApiError) else None
    return with_hint(error, f"{hint}.") if hint else error


def _hint(error: ModelArtsApiError, settings: Settings, connection: str) -> str | None:
    match error, settings.credentials:
        case ModelArtsNotFoundError(), _:
            return f"Searched in {_place(settings)} ({connection})"
        case ModelArtsAuthenticationError(), AccessKey():
            clock = "this machine's clock; five bad signatures lock a key"
            return f"Check login and password of {connection}, and {clock}"
        case ModelArtsAuthenticationError(), PasswordLogin():
            return f"Check login, password and domain_name of {connection}"
        case ModelArtsAuthenticationError(), MetadataLogin():
            return f"Check the agency of this server, which {connection} uses"
    return None


def _place(settings: Settings) -> str:
    place = settings.endpoint or f"region {settings.region}"
    project_id = known_project_id(settings)
    return f"{place}, project {project_id}" if project_id else place


def mask_secret(secret: str) -> None:
    """Mask a secret in the logs of this task."""
    try:
        masker = import_module("airflow.sdk.log")
    except ImportError:  # below Airflow 3.1
        masker = import_module("airflow.utils.log.secrets_masker")
    masker.mask_secret(secret)


async def mask_secret_async(secret: str) -> None:
    """Mask a secret, without blocking the event loop of a triggerer."""
    try:
        from airflow.sdk.log import amask_secret  # from Airflow 3.3 on
    except ImportError:
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await amask_secret(secret)


async def settings_of(
    source: _Source, read: Callable[[], Awaitable[Settings]], refused: Settings | None = None
) -> Settings:
    """Return the settings of a connection; of several hooks in one event loop, one reads for all.

    :param read: reads the connection.
    :param refused: settings whose credentials the platform refused: the returned ones are read after that.
    """
    known = _read.setdefault(asyncio.get_running_loop(), {}).get(source)
    if known and asyncio.get_running_loop().time() < known[0] + _SHARED_SECONDS and known[1] != refused:
        return known[1]
    # a read that began before the refusal may return the refused credentials
    return await single_flight((source, refused and refused.credentials), lambda: _read_and_keep(source, read))


async def _read_and_keep(source: _Source, read: Callable[[], Awaitable[Settings]]) -> Settings:
    settings = await read()
    loop = asyncio.get_running_loop()
    _read[loop][source] = loop.time(), settings
    return settings

"""The hook: from an Airflow connection to a client."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_modelarts import get_provider_info
from airflow_provider_modelarts.client import ModelArtsClient, ModelArtsOperations
from airflow_provider_modelarts.core.settings import Settings, read_connection
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_modelarts.async_client import AsyncModelArtsClient
    from airflow_provider_modelarts.core.api import Request

T = TypeVar("T")


class ModelArtsHook(BaseHook, ModelArtsOperations):
    """Calls ModelArts as an Airflow connection says.

    The connection is of type ``modelarts``; one of type ``huaweicloud``, of the other provider for this cloud,
    works too. Nothing is read or sent before the first call.

    :param modelarts_conn_id: id of the connection.
    :param region: region instead of the connection's; forgets the connection's project id.
    :param project_id: project id instead of the connection's.
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
        """Return the client. It is made once, and keeps its connections alive."""
        return self._client

    async def get_async_conn(self) -> AsyncModelArtsClient:
        """Return a new asynchronous client; close it, or use it in an ``async with`` statement.

        Reads the connection without blocking the event loop.
        """
        from airflow.providers.common.compat.connection import get_async_connection

        from airflow_provider_modelarts.async_client import AsyncModelArtsClient

        conn = await get_async_connection(self.modelarts_conn_id)
        # from Airflow 3.3.2 on, extras are masked over the supervisor's connection, which must not block the loop
        extra = await conn.aextra_dejson() if hasattr(conn, "aextra_dejson") else conn.extra_dejson
        return AsyncModelArtsClient(self._settings(conn, extra))

    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""
        return self._client.call(request)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and where it leads; or the reason why it does not."""
        try:
            return self._client.test_connection()
        except ModelArtsConfigurationError as error:
            return False, str(error)

    @cached_property
    def _client(self) -> ModelArtsClient:
        conn = self.get_connection(self.modelarts_conn_id)
        return ModelArtsClient(self._settings(conn, conn.extra_dejson))

    def _settings(self, conn: Connection, extra: Mapping[str, object]) -> Settings:
        try:
            settings = read_connection(
                login=conn.login,
                password=conn.password,
                host=conn.host,
                port=conn.port,
                extra=extra,
                region=self.region,
                project_id=self.project_id,
            )
        except ModelArtsConfigurationError as error:
            raise ModelArtsConfigurationError(f"connection {self.modelarts_conn_id!r}: {error}") from error
        return settings

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the form, for Airflow 2.11 to 3.1."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import PasswordField, StringField

        widgets = {}
        for name, (label, description, is_secret) in get_provider_info.EXTRA_FIELDS.items():
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

"""The synchronous client: ``requests`` drives the core. Works without Airflow, in a notebook or a script."""

from __future__ import annotations

import random
import threading
import time
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_modelarts.core import wallet
from airflow_provider_modelarts.core.answers import LARGEST_BODY, PART, Answer, bad_bundle, declared_length, no_answer
from airflow_provider_modelarts.core.exchange import (
    Authenticate,
    Exchange,
    Outside,
    Pause,
    Reply,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.core.obtaining import obtain
from airflow_provider_modelarts.core.retry import PASSING_ERRORS
from airflow_provider_modelarts.core.sign_in import describe, secrets_of
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
)
from airflow_provider_modelarts.operations import ModelArtsOperations

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import requests

    from airflow_provider_modelarts.core.api import Request
    from airflow_provider_modelarts.core.settings import Settings
    from airflow_provider_modelarts.core.sign_in import Credential

T = TypeVar("T")

# one thread signs in, others wait for it; a signal handler may interrupt and sign in too
_signing_in = threading.RLock()


class ModelArtsClient(ModelArtsOperations):
    """ModelArts over keep-alive connections. Close it, or use it in a ``with`` statement.

    :param settings: where and as whom to call.
    :param reload: returns the settings as they are now; asked once when the platform refuses the key or password.
    :param on_secret: is told each token and key that is obtained at run time, to mask it in logs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Settings] | None = None,
        on_secret: Callable[[str], object] = lambda secret: None,
    ) -> None:
        self.settings = settings
        self._reload = reload
        self._on_secret = on_secret
        self._outside = Outside(time.time, random.random)

    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""
        return self._drive(exchange(request, self.settings, self._outside))

    @property
    def project_id(self) -> str:
        """The project id, looked up by the region's name if it is not set."""
        return self._drive(find_project_id(self.settings, self._outside))

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the platform lets this key read training jobs, and where; or its reason why not."""
        try:
            total = self.search_training_jobs(limit=1).total
            return True, (
                f"Signed in to {self.settings.base_url('modelarts')} as {describe(self.settings.sign_in)}: "
                f"project {self.project_id}, region {self.settings.region or 'not set'}, {total} training jobs"
            )
        except ModelArtsError as error:
            return False, str(error)

    def close(self) -> None:
        """Close the connections."""
        if "_session" in vars(self):
            self._session.close()

    def __enter__(self) -> ModelArtsClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                match step:
                    case Send():
                        step = exchange.send(self._send(step))
                    case Authenticate(refused=refused):
                        step = exchange.send(self._authenticate(refused))
                    case Pause(seconds=seconds):
                        time.sleep(seconds)
                        step = next(exchange)
        except StopIteration as end:
            result: T = end.value
            return result

    def _authenticate(self, refused: Credential | None) -> Credential | None:
        """Return what proves who calls; None when there is nothing else than what was refused."""
        try:
            credential = self._credential(refused)
        except ModelArtsAuthenticationError:
            if not self._is_changed():
                raise
            return self._credential(None)
        if credential is None and self._is_changed():
            return self._credential(None)
        return credential

    def _credential(self, refused: Credential | None) -> Credential | None:
        """Return the credential that all share who sign in alike; obtain one if there is none that is fresh."""
        if isinstance(self.settings.sign_in, AccessKey):
            return None if refused == self.settings.sign_in else self.settings.sign_in
        with _signing_in:
            fresh = wallet.fresh(self.settings, refused, time.time())
            if fresh is not None:
                return fresh
            try:
                issued = self._drive(obtain(self.settings, self._outside))
            except PASSING_ERRORS:
                valid = wallet.valid(self.settings, refused, time.time())
                if valid is None:
                    raise
                return valid
            wallet.keep(self.settings, issued)
        for secret in secrets_of(issued.credential):
            self._on_secret(secret)
        return None if issued.credential == refused else issued.credential

    def _is_changed(self) -> bool:
        """Read the settings again, and return whether they say to sign in otherwise than before."""
        if self._reload is None:
            return False
        before, self.settings = self.settings, self._reload()
        return self.settings.sign_in != before.sign_in

    @cached_property
    def _session(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.verify = self.settings.verify
        session.proxies.update(self.settings.proxies)
        return session

    def _send(self, send: Send) -> Reply:
        from requests import exceptions

        settings = self.settings
        timeout = (send.timeout or settings.connect_timeout, send.timeout or settings.read_timeout)
        try:
            prepared, way = _prepared(send), self._way(_host_of(send.url), send.direct)
        except exceptions.RequestException as error:
            raise _not_sendable(send, error) from None
        try:
            # not session.send(): that reads the whole body of a redirect, even of one that is not followed
            with self._session.get_adapter(send.url).send(prepared, timeout=timeout, **way) as response:
                return _answer(response)
        except (
            exceptions.ConnectionError,
            exceptions.Timeout,
            exceptions.ChunkedEncodingError,
            exceptions.ContentDecodingError,
            exceptions.InvalidHeader,
        ) as error:
            temporary = not isinstance(error, exceptions.SSLError)
            return no_answer(f"{send.method} {send.url}", error, temporary=temporary)
        except exceptions.RequestException as error:
            raise _not_sendable(send, error) from None
        except OSError as error:  # all others are wrapped
            raise bad_bundle(way["verify"]) from error

    @cached_property
    def _way(self) -> Callable[[str, bool], Any]:
        """Returns past which proxies and with which trust to reach a host; looked up in the environment once."""

        def way(host: str, is_direct: bool) -> Any:
            proxies = {"http": "", "https": ""} if is_direct else {}
            verify = None if self.settings.verify is True else self.settings.verify  # None: the environment may say
            return self._session.merge_environment_settings(host, proxies, stream=True, verify=verify, cert=None)

        return cache(way)


def _prepared(send: Send) -> requests.PreparedRequest:
    """Return a request as it is: a session would replace what signs it by a password from ~/.netrc."""
    from requests import PreparedRequest
    from requests.utils import default_headers

    prepared = PreparedRequest()
    headers = {**default_headers(), **send.headers}
    prepared.prepare(method=send.method, url=send.url, headers=headers, data=send.body or None)
    return prepared


def _host_of(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _not_sendable(send: Send, error: Exception) -> ModelArtsConfigurationError:
    """Return an error without the text of another: that may quote a header, and headers hold what signs."""
    return ModelArtsConfigurationError(f"{send.method} {send.url}: cannot be sent: {type(error).__name__}")


def _answer(response: requests.Response) -> Answer:
    """Return an answer with its body, unless that is too long to be read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > LARGEST_BODY:
        return Answer(response.status_code, headers, is_too_long=True)
    for part in response.iter_content(PART):
        body += part
        if len(body) > LARGEST_BODY:
            return Answer(response.status_code, headers, is_too_long=True)
    return Answer(response.status_code, headers, bytes(body))

"""The synchronous client: requests drives the API layer. Works without Airflow, in a notebook or a script."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_modelarts.api import flows, operations, pagination, session
from airflow_provider_modelarts.api.credentials import describe, secrets_of
from airflow_provider_modelarts.api.exchange import (
    Authenticate,
    Exchange,
    Outside,
    Pause,
    Reply,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.api.login import obtain
from airflow_provider_modelarts.api.responses import (
    MAX_BODY_BYTES,
    PART,
    Response,
    bad_bundle,
    declared_length,
    no_answer,
)
from airflow_provider_modelarts.api.retry import PASSING_ERRORS
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import requests

    from airflow_provider_modelarts.api.credentials import Credential
    from airflow_provider_modelarts.api.flows import Flow
    from airflow_provider_modelarts.api.operations import Filter, Request
    from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, JobPage, ParameterImportance, TrainingJob
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.trials import Trial

__all__ = ["AccessKey", "ModelArtsClient", "ModelArtsOperations", "Settings"]

T = TypeVar("T")


class ModelArtsOperations(ABC):
    """The operations of the API, for whoever can make a call.

    Every method may raise the errors of :mod:`airflow_provider_modelarts.exceptions`.
    """

    @abstractmethod
    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""

    def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow and return its result."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    value = self.call(step)
                except ModelArtsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    def iter_trials(self, training_job_id: str, *, page_size: int = 50) -> Iterator[Trial]:
        """Yield the trials of a search, page by page, as the pages arrive.

        :param page_size: trials per request, 1 to 50.
        :raises ModelArtsProtocolError: when the platform lists fewer trials than it promises. So it does while a
            search starts its trials; wait for its end first.
        """
        walk = pagination.walk(pagination.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            step = walk.send(self.call(operations.list_trials(training_job_id, limit=page_size, offset=step.offset)))
            yield from step.trials

    def list_trials(self, training_job_id: str, *, page_size: int = 50) -> list[Trial]:
        """Return all trials of a search. See :meth:`iter_trials`."""
        return list(self.iter_trials(training_job_id, page_size=page_size))

    def get_training_job(self, training_job_id: str) -> TrainingJob:
        """Return a training job (ShowTrainingJobDetails)."""
        return self.call(operations.show_training_job(training_job_id))

    def get_algorithm(self, algorithm_id: str) -> Algorithm:
        """Return a managed algorithm with the settings of its search (ShowAlgorithmByUuid)."""
        return self.call(operations.show_algorithm(algorithm_id))

    def get_trial(self, training_job_id: str, trial_id: str) -> list[Trial]:
        """Return the reports of one trial, oldest first; the last is its current state (ShowAutoSearchPerTrial).

        The platform gives no status here: ``done`` tells whether the trial has ended.
        """
        return self.call(operations.show_trial(training_job_id, trial_id))

    def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return self.call(operations.stop_trial(training_job_id, trial_id))

    def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return how much each hyperparameter matters, by the platform's analysis (ShowAutoSearchParamsAnalysis)."""
        return self.call(operations.show_parameter_importance(training_job_id))

    def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never repeated by itself.

        :param body: as the platform documents it.
        """
        return self.call(operations.create_training_job(body))

    def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False when it had ended or is gone."""
        return self.run(flows.stop_job(training_job_id))

    def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False when it was gone."""
        return self.run(flows.delete_job(training_job_id))

    def list_events(self, training_job_id: str, *, level: str | None = None, limit: int = 50) -> list[JobEvent]:
        """Return the events of a job, newest first (ListTrainingJobEvents).

        :param level: ``Info``, ``Warning`` or ``Error``; None for all.
        :param limit: 1 to 100.
        """
        return self.call(operations.list_events(training_job_id, level=level, limit=limit))

    def get_log_preview(self, training_job_id: str, task: str = "worker-0") -> str:
        """Return the newest part of a task's log, empty while there is none (ShowTrainingJobLogsPreview).

        :param task: one of the job's ``tasks``.
        """
        return self.run(flows.read_log(training_job_id, task))

    def search_training_jobs(self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0) -> JobPage:
        """Return one page of the training jobs (ListTrainingJobs), newest first.

        :param filters: key, operator (between, like, in, not) and values of each, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        """
        return self.call(operations.search_training_jobs(filters=filters, limit=limit, offset=offset))

    def request(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON.

        :param path: such as ``/v2/{project_id}/training-job-flavors``; ``{project_id}`` is filled in.
        :param body: JSON to send; None sends no body.
        """
        return self.call(operations.any_request(method, path, query, body))


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
                f"Signed in to {self.settings.base_url('modelarts')} as {describe(self.settings.credentials)}: "
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
        if isinstance(self.settings.credentials, AccessKey):
            return None if refused == self.settings.credentials else self.settings.credentials
        with _signing_in:
            fresh = session.fresh(self.settings, refused, time.time())
            if fresh is not None:
                return fresh
            try:
                issued = self._drive(obtain(self.settings, self._outside))
            except PASSING_ERRORS:
                valid = session.valid(self.settings, refused, time.time())
                if valid is None:
                    raise
                return valid
            session.keep(self.settings, issued)
        for secret in secrets_of(issued.credential):
            self._on_secret(secret)
        return None if issued.credential == refused else issued.credential

    def _is_changed(self) -> bool:
        """Read the settings again, and return whether they say to sign in otherwise than before."""
        if self._reload is None:
            return False
        before, self.settings = self.settings, self._reload()
        return self.settings.credentials != before.credentials

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


def _answer(response: requests.Response) -> Response:
    """Return an answer with its body, unless that is too long to be read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > MAX_BODY_BYTES:
        return Response(response.status_code, headers, is_too_long=True)
    for part in response.iter_content(PART):
        body += part
        if len(body) > MAX_BODY_BYTES:
            return Response(response.status_code, headers, is_too_long=True)
    return Response(response.status_code, headers, bytes(body))

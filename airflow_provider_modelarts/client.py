"""Synchronous client of ModelArts: ``requests`` drives the exchanges. Works without Airflow."""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_modelarts.api import flows, operations, pagination
from airflow_provider_modelarts.api.credentials import caller_name
from airflow_provider_modelarts.api.exchange import (
    Caller,
    Exchange,
    Login,
    Mask,
    Pause,
    Reload,
    Runtime,
    Send,
    Step,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.api.login import login
from airflow_provider_modelarts.api.responses import (
    CHUNK_BYTES,
    MAX_BODY_BYTES,
    Response,
    declared_length,
    no_response,
    not_sendable,
    unreadable_ca_bundle,
)
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsError,
    ModelArtsTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    import requests

    from airflow_provider_modelarts.api.flows import Flow
    from airflow_provider_modelarts.api.operations import Filter, Request
    from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, JobPage, ParameterImportance, TrainingJob
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.trials import Trial

__all__ = ["AccessKey", "ModelArtsClient", "ModelArtsOperations", "Settings"]

S = TypeVar("S")
T = TypeVar("T")

# one thread logs in while the others wait; a signal handler that interrupts it may log in too
_login_lock = threading.RLock()


class ModelArtsOperations(ABC):
    """Operations of the API, as methods over :meth:`call`.

    Each of them may raise the errors of :mod:`airflow_provider_modelarts.exceptions`.
    """

    @abstractmethod
    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the response."""

    def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow and return its result."""
        return _drive(flow, self._carry_out)

    def _carry_out(self, step: Request[Any] | Sleep) -> object:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        return self.call(step)

    def iter_trials(self, training_job_id: str, *, page_size: int = 50) -> Iterator[Trial]:
        """Yield the trials of a search, page by page, as the pages arrive.

        :param page_size: trials per request, 1 to 50.
        :raises ModelArtsProtocolError: when the platform lists fewer trials than its ``total``. It does so while a
            search starts its trials: wait for the end of the search first.
        """
        walk = pagination.walk(pagination.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            step = walk.send(
                self.call(operations.list_trials_page(training_job_id, limit=page_size, offset=step.offset))
            )
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

        The table has no status column: the flag ``done`` shows whether the trial has ended.
        """
        return self.call(operations.show_trial(training_job_id, trial_id))

    def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return self.call(operations.stop_trial(training_job_id, trial_id))

    def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return the importance of each hyperparameter, as ModelArts analyses it (ShowAutoSearchParamsAnalysis)."""
        return self.call(operations.show_parameter_importance(training_job_id))

    def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never retried.

        :param body: body of the request, as the platform documents it.
        """
        return self.call(operations.create_training_job(body))

    def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False if it has ended or no longer exists."""
        return self.run(flows.stop_job(training_job_id))

    def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False if it no longer exists."""
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

    def search_training_jobs(
        self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0, workspace_id: str = "0"
    ) -> JobPage:
        """Return one page of the training jobs, newest first (ListTrainingJobs).

        :param filters: key, operator (between, like, in, not) and values of each condition, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        :param workspace_id: the workspace whose jobs are listed.
        """
        return self.call(
            operations.search_training_jobs(filters=filters, limit=limit, offset=offset, workspace_id=workspace_id)
        )

    def request(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON.

        :param path: such as ``/v2/{project_id}/training-job-flavors``; ``{project_id}`` is filled in.
        :param body: JSON to send; None sends no body.
        """
        return self.call(operations.any_request(method, path, query, body))


class ModelArtsClient(ModelArtsOperations):
    """ModelArts over keep-alive connections. Close it, or use it in a ``with`` statement.

    :param settings: endpoints, credentials, timeouts.
    :param reload: returns the settings as they are now; called once after the platform refuses the credential.
    :param on_secret: masks a token or temporary key in logs; called with each that is obtained at run time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Settings] | None = None,
        on_secret: Callable[[str], object] = lambda secret: None,
    ) -> None:
        self._caller = Caller(settings)
        self._reload = reload
        self._on_secret = on_secret
        self._runtime = Runtime(time.time, random.random)

    @property
    def settings(self) -> Settings:
        """The settings, as they were last read."""
        return self._caller.settings

    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the response."""
        return self._drive(exchange(request, self._caller, self._runtime))

    @property
    def project_id(self) -> str:
        """The project id, looked up by the region's name unless it is set."""
        return self._drive(find_project_id(self._caller, self._runtime))

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the credential may read training jobs, and where; or the reason why not."""
        try:
            total = self.search_training_jobs(limit=1).total
            return True, (
                f"Signed in to {self.settings.base_url('modelarts')} as {caller_name(self.settings.credentials)}: "
                f"project {self.project_id}, region {self.settings.region or 'not set'}, {total} training jobs"
            )
        except ModelArtsError as error:
            return False, str(error)

    def close(self) -> None:
        """Close the connections."""
        if "_transport" in vars(self):
            self._transport.close()

    def __enter__(self) -> ModelArtsClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _transport(self) -> _Transport:
        return _Transport(self.settings)

    def _drive(self, exchange: Exchange[T]) -> T:
        return _drive(exchange, self._take)

    def _take(self, step: Step) -> object:
        """Carry out one step of an exchange."""
        match step:
            case Send():
                return self._transport.send(step, self.settings)
            case Pause(seconds=seconds):
                time.sleep(seconds)
            case Login(settings=settings):
                with _login_lock:
                    return self._drive(login(settings, self._runtime))
            case Reload():
                return self._reload() if self._reload else None
            case Mask(secret=secret):
                self._on_secret(secret)
        return None


def _drive(flow: Generator[S, Any, T], carry_out: Callable[[S], object]) -> T:
    """Run a generator to its end: send back the result of each step, or throw in its error."""
    try:
        step = next(flow)
        while True:
            try:
                result = carry_out(step)
            except ModelArtsError as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


class _Transport:
    """Connections of ``requests``, with the trust and the proxies of some settings."""

    def __init__(self, settings: Settings) -> None:
        import requests

        self._session = requests.Session()
        self._session.verify = settings.verify
        self._session.proxies.update(settings.proxies)
        self._route = cache(self._find_route)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(self, send: Send, settings: Settings) -> Response | ModelArtsTransportError:
        """Send over HTTP, and return the response or the transport error."""
        from requests import exceptions

        timeout = (send.timeout or settings.connect_timeout, send.timeout or settings.read_timeout)
        try:
            prepared, route = _prepared(send), self._route(_host_of(send.url), send.direct)
        except exceptions.RequestException as error:
            raise not_sendable(f"{send.method} {send.url}", error) from None
        try:
            # not session.send(): that reads the whole body of a redirect, even of one that is not followed
            with self._session.get_adapter(send.url).send(prepared, timeout=timeout, **route) as response:
                return _read(response)
        except (
            exceptions.ConnectionError,
            exceptions.Timeout,
            exceptions.ChunkedEncodingError,
            exceptions.ContentDecodingError,
            exceptions.InvalidHeader,
        ) as error:
            temporary = not isinstance(error, exceptions.SSLError)
            return no_response(f"{send.method} {send.url}", error, temporary=temporary)
        except exceptions.RequestException as error:
            raise not_sendable(f"{send.method} {send.url}", error) from None
        except OSError as error:  # all others are wrapped
            raise unreadable_ca_bundle(route["verify"]) from error

    def _find_route(self, host: str, is_direct: bool) -> Any:
        """Return proxies and trust for a host. The environment is read once per host."""
        proxies = {"http": "", "https": ""} if is_direct else {}
        verify = None if self._session.verify is True else self._session.verify  # None: the environment may set it
        return self._session.merge_environment_settings(host, proxies, stream=True, verify=verify, cert=None)


def _prepared(send: Send) -> requests.PreparedRequest:
    """Return a request as it is: a session would replace its signature by a password from ~/.netrc."""
    from requests import PreparedRequest
    from requests.utils import default_headers

    prepared = PreparedRequest()
    headers = {**default_headers(), **send.headers}
    prepared.prepare(method=send.method, url=send.url, headers=headers, data=send.body or None)
    return prepared


def _host_of(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _read(response: requests.Response) -> Response:
    """Return a response with its body, unless that is too long."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > MAX_BODY_BYTES:
        return Response(response.status_code, headers, is_too_long=True)
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return Response(response.status_code, headers, is_too_long=True)
    return Response(response.status_code, headers, bytes(body))

"""One emulator, as a test sees it."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl

from modelarts_emulator.auth import DEMO_KEY, AccessKey, Authenticator, Clock, Iam
from modelarts_emulator.documents import ConfigEncoding, JobTimes, OffsetUnit, TableStyle, job_document
from modelarts_emulator.faults import CannedResponse, CannedResponses, Fault, RandomFaults, fault_of, replaced
from modelarts_emulator.jobs import GivenJob
from modelarts_emulator.json_values import JSON
from modelarts_emulator.project import Project
from modelarts_emulator.runs.executor import Executor
from modelarts_emulator.scenario import Search
from modelarts_emulator.scenarios import SCENARIOS, running_search, scenario
from modelarts_emulator.signing import ReceivedRequest

DEMO_PROJECT_ID = "e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0"
DEMO_REGION = "cn-north-4"


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A received request without its headers and body, which hold secrets."""

    method: str
    path: str
    query: Mapping[str, str]


class Emulator:
    """A ModelArts emulator. :func:`~modelarts_emulator.running` makes and serves one.

    :param scenarios: names of the scenarios to hold; None for all.
    :param key: the access key to accept; a temporary one if it has a security token.
    :param config_encoding: encoding of the ``config`` cell: ``object``, ``json``, ``repr`` or ``decimal``.
    :param offset_unit: unit of ``offset`` of the trial listing: ``page`` or ``row``.
    :param header_seed: shuffles the columns of the trial table; None keeps the documented order.
    :param extra_columns: undocumented columns, each with the cell of all its rows.
    :param clock: seconds since the epoch, for signatures and the times of jobs.
    :param on_request: called with each request before the response, on the server's thread.
    :param root: folder whose subfolders are the buckets, and which keeps the created jobs; None for a temporary one.
    :param max_parallel: number of trials of one search that may run at once.
    :param listing_lag: seconds from the creation of a job until the job search lists it; ``math.inf`` for never. A GET
        returns the job at once.
    :param lists_descriptions: whether the job search returns the descriptions of jobs. A GET always does.
    :param unique_names: whether the creation of a job is refused if another job has its name.
    :param reserves_names: whether the name of a deleted job stays in use, if names are unique. Another emulator on the
        same root does not know such names.
    :param fault_share: share of all responses that are faulty, at random.
    :param fault_seed: the same seed and the same requests give the same faults.
    :param faults: names of the random faults; None for the transient ones of
        :data:`~modelarts_emulator.faults.FAULTS`.
    :param fault_seconds: duration of a silence, and of slow bytes.

    ``listing_lag``, ``lists_descriptions``, ``unique_names`` and ``reserves_names`` are also attributes. A test may set
    them at any time, and they apply from the next request on.

    Created jobs execute their scripts on this machine, as its user. They end with the emulator: when it stops serving,
    and also when it is killed, all processes in their process groups are killed. A script that was just being started
    when the emulator was killed is the exception. The next emulator on the same root shows such jobs as failed.
    """

    def __init__(
        self,
        *,
        scenarios: Iterable[str] | None = None,
        key: AccessKey = DEMO_KEY,
        region: str = DEMO_REGION,
        project_id: str = DEMO_PROJECT_ID,
        config_encoding: str = ConfigEncoding.OBJECT,
        offset_unit: str = OffsetUnit.PAGE,
        header_seed: int | None = None,
        extra_columns: Mapping[str, str] | None = None,
        clock: Clock = time.time,
        on_request: Callable[[SeenRequest], None] | None = None,
        root: str | os.PathLike[str] | None = None,
        max_parallel: int = 2,
        listing_lag: float = 0.0,
        lists_descriptions: bool = True,
        unique_names: bool = True,
        reserves_names: bool = False,
        fault_share: float = 0.0,
        fault_seed: int = 0,
        faults: Iterable[str] | None = None,
        fault_seconds: float = 1.0,
    ) -> None:
        self.endpoint = ""
        self.region = region
        self.project_id = project_id
        self.access_key = key.access_key
        self.secret_key = key.secret_key
        self.on_request = on_request
        self.requests: list[SeenRequest] = []
        self.fault_counts: Counter[str] = Counter()
        self.fault_seconds = fault_seconds
        self.listing_lag = listing_lag
        self.lists_descriptions = lists_descriptions
        self.unique_names = unique_names
        self.reserves_names = reserves_names
        style = TableStyle(ConfigEncoding(config_encoding), OffsetUnit(offset_unit), header_seed, extra_columns or {})
        self.project = Project(region=region, project_id=project_id, style=style, clock=clock, rules=self)
        self.auth = Authenticator(key, clock, self.project.iam)
        self._key = key
        self._clock = clock
        self._canned = CannedResponses()
        self._random = RandomFaults(fault_share, fault_seed, faults)
        self._numbers = itertools.count(1)
        self._root = Path(root) if root is not None else None
        self._temporary: TemporaryDirectory[str] | None = None
        if max_parallel < 1:
            raise ValueError(f"max_parallel must be at least 1, not {max_parallel}")
        self._max_parallel = max_parallel
        self._job_ids = {
            name: self.add_search(scenario(name)) for name in (SCENARIOS if scenarios is None else scenarios)
        }

    @property
    def job_ids(self) -> Mapping[str, str]:
        """The job id of each scenario, by its name."""
        return self._job_ids

    @property
    def iam(self) -> Iam:
        """Its IAM and metadata service, with the user :data:`~modelarts_emulator.auth.DEMO_USER`."""
        return self.project.iam

    def job_id(self, scenario: str) -> str:
        """Return the job id of a scenario."""
        return self._job_ids[scenario]

    @property
    def root(self) -> Path:
        """The folder whose subfolders are the buckets. A temporary one exists while the emulator serves."""
        if self._root is None:
            raise RuntimeError("the temporary root exists only while the emulator serves")
        return self._root

    def open(self) -> None:
        """Restore the jobs that the root keeps, and accept new ones.

        :raises OSError: if the root cannot be used.
        """
        if self._root is None:
            self._temporary = TemporaryDirectory(prefix="modelarts-emulator-")
            self._root = Path(self._temporary.name)
        self._root.mkdir(parents=True, exist_ok=True)
        self.project.open(Executor(self._root, self._clock, self._max_parallel))

    async def close(self) -> None:
        """End all running jobs, and remove a temporary root."""
        await self.project.close()
        if self._temporary is not None:
            await asyncio.to_thread(self._temporary.cleanup)
            self._temporary = self._root = None

    def connection(self) -> dict[str, object]:
        """Return the Airflow connection to this emulator; as JSON it is a value for ``AIRFLOW_CONN_...``."""
        extra = {"region": self.region, "endpoint": self.endpoint, "iam_endpoint": self.endpoint}
        if self._key.security_token:
            extra["security_token"] = self._key.security_token
        return {"conn_type": "modelarts", "login": self.access_key, "password": self.secret_key, "extra": extra}

    def add_search(self, search: Search) -> str:
        """Add a scripted search and return its job id."""
        self.project.add_search(search)
        return search.job_id

    def add_running_search(self, *, num_samples: int, terminated: int) -> str:
        """Add a search that stays Running, and return its job id.

        :param num_samples: number of trials that it will run.
        :param terminated: number of trials that are listed, all of them TERMINATED.
        """
        return self.add_search(running_search(self._new_name(), num_samples, terminated))

    def add_job(
        self, job_id: str, job: Mapping[str, JSON], header: Sequence[str] = (), data: Sequence[Sequence[JSON]] = ()
    ) -> str:
        """Add a job with given responses, and return its id.

        :param job: response of ShowTrainingJobDetails.
        :param header: names of the columns of its trial table.
        :param data: rows of the table, not copied: a row that is appended later is listed from then on.
        """
        self.project.add(GivenJob(job_id, job, header, data))
        return job_id

    def add_table(
        self,
        header: Sequence[str],
        data: Sequence[Sequence[JSON]],
        *,
        objective: tuple[str, str] | None = ("acc", "max"),
        phase: str = "Completed",
    ) -> str:
        """Add a job with a given trial table, as :meth:`add_job` does, and return its id.

        :param objective: metric and mode of its search; None for a search without an objective.
        """
        search = Search(name=self._new_name(), phases=((0, phase),), objectives=dict([objective] if objective else []))
        first, now = search.phase_at(0), self._clock()
        job = job_document(search, first, JobTimes.at_first(first, now), now)
        return self.add_job(search.job_id, job, header, data)

    def respond_next(
        self,
        path_part: str,
        *,
        fault: str = "",
        status: int = 200,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        after: int = 0,
        delay: float = 0.0,
        drop: bool = False,
        method: str = "",
        executes: bool = False,
    ) -> None:
        """Send this response to the next requests, before any check of them.

        :param path_part: part of the path of the requests meant.
        :param fault: name of a fault, instead of status, body and headers. Some faults decide on ``executes``.
        :param times: number of requests to respond to.
        :param after: number of requests to let pass before.
        :param delay: seconds before the response.
        :param drop: close the connection instead of a response.
        :param method: only requests of this method are meant.
        :param executes: check and execute the request first, so that only its response is lost.
        :raises ValueError: for an unknown fault.
        """
        name = "closed" if drop else fault
        response = fault_of(name) if name else Fault("", replaced(status, body, headers))
        self._canned.add(CannedResponse(path_part, response, times, after, delay, method, executes))

    def receive(self, request: ReceivedRequest) -> CannedResponse | None:
        """Record a request, and return the canned response to it, or None."""
        seen = SeenRequest(request.method, request.path, dict(parse_qsl(request.query, keep_blank_values=True)))
        self.requests.append(seen)
        if self.on_request is not None:
            self.on_request(seen)
        at_random = self._random.next_for(request.method, request.path)
        return self._canned.next_for(request.method, request.path) or at_random

    def _new_name(self) -> str:
        return f"added-{next(self._numbers)}"

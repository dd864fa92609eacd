"""One emulator: its cloud, its gate, and what a test may ask of it."""

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

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.canned import CannedAnswer, CannedAnswers, Chance
from modelarts_emulator.cloud import Cloud
from modelarts_emulator.deliveries import instead
from modelarts_emulator.documents import JobTimes, job_document
from modelarts_emulator.faults import Fault, fault_of
from modelarts_emulator.gate import Gate, Received
from modelarts_emulator.iam import Iam
from modelarts_emulator.jobs import Clock, GivenJob
from modelarts_emulator.runs.workshop import Workshop
from modelarts_emulator.scenarios import SCENARIOS, running_search
from modelarts_emulator.script import Search
from modelarts_emulator.table import ConfigEncoding, OffsetUnit, TableStyle

#: The key of the demonstration. It opens nothing but emulators.
DEMO_KEY = AccessKey("EMULATORACCESSKEY000", "emulatorSecretKey00000000000000000000000")
DEMO_PROJECT_ID = "e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0"
DEMO_REGION = "cn-north-4"

_RETRY = RetryPolicy(first_delay=0.002, max_delay=0.02, total=2.0)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that arrived, whatever became of it; without its headers and body, which hold secrets."""

    method: str
    path: str
    query: Mapping[str, str]


class Emulator:
    """A local ModelArts. :func:`~modelarts_emulator.running` makes one and serves it.

    :param scenarios: names of the scenarios to hold; None for all.
    :param key: the access key that it lets in; with a security token a temporary one.
    :param config_encoding: how the ``config`` cell is written: ``object``, ``json``, ``repr`` or ``decimal``.
    :param offset_unit: what ``offset`` of the trial listing counts: ``page`` or ``row``.
    :param header_seed: shuffles the columns of the trial table; None leaves the documented order.
    :param extra_columns: columns that nobody has heard of, each with the cell of all its rows.
    :param clock: seconds since the epoch, for signatures and the times of jobs.
    :param on_request: called with each request before it is answered, on the server's thread.
    :param root: folder whose subfolders are the buckets, and which keeps the jobs that are created; None for a
        temporary one.
    :param max_parallel: how many trials of one search may run at once.
    :param fault_share: share of all answers that are faulty, by chance.
    :param fault_seed: the same seed and the same requests give the same faults.
    :param faults: names of the faults that happen by chance; None for those that pass, see
        :data:`~modelarts_emulator.faults.FAULTS`.
    :param fault_seconds: how long a silence lasts, and how long slow bytes take.

    Jobs that are created execute their scripts on this machine, as its user. They end with the emulator: all that is
    in their process groups is killed when it stops serving, and also when it is killed itself, but for a script that
    it was just starting. The next emulator on the same root shows such jobs as failed.
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
        style = TableStyle(ConfigEncoding(config_encoding), OffsetUnit(offset_unit), header_seed, extra_columns or {})
        self.cloud = Cloud(region=region, project_id=project_id, style=style, clock=clock)
        self.gate = Gate(key, clock, self.cloud.iam)
        self._key = key
        self._clock = clock
        self._canned = CannedAnswers()
        self._chance = Chance(fault_share, fault_seed, faults)
        self._numbers = itertools.count(1)
        self._root = Path(root) if root is not None else None
        self._temporary: TemporaryDirectory[str] | None = None
        if max_parallel < 1:
            raise ValueError(f"max_parallel must be at least 1, not {max_parallel}")
        self._max_parallel = max_parallel
        self._job_ids = {
            name: self.add_search(SCENARIOS[name]()) for name in (SCENARIOS if scenarios is None else scenarios)
        }

    @property
    def job_ids(self) -> Mapping[str, str]:
        """The job id of each scenario that it holds, by the scenario's name."""
        return self._job_ids

    @property
    def iam(self) -> Iam:
        """Its IAM and metadata service, with one user, :data:`~modelarts_emulator.iam.DEMO_USER`."""
        return self.cloud.iam

    def job_id(self, scenario: str) -> str:
        """Return the job id of a scenario."""
        return self._job_ids[scenario]

    @property
    def root(self) -> Path:
        """The folder whose subfolders are the buckets. A temporary one is there while the emulator serves."""
        if self._root is None:
            raise RuntimeError("the temporary root is there only while the emulator serves")
        return self._root

    def open(self) -> None:
        """Begin to serve: the jobs that the root keeps are there, and jobs can be created.

        :raises OSError: when the root cannot be used.
        """
        if self._root is None:
            self._temporary = TemporaryDirectory(prefix="modelarts-emulator-")
            self._root = Path(self._temporary.name)
        self._root.mkdir(parents=True, exist_ok=True)
        self.cloud.open(Workshop(self._root, self._clock, self._max_parallel))

    async def close(self) -> None:
        """End all jobs that run, and forget a temporary root."""
        await self.cloud.close()
        if self._temporary is not None:
            await asyncio.to_thread(self._temporary.cleanup)
            self._temporary = self._root = None

    def connection(self) -> dict[str, object]:
        """Return the Airflow connection that leads here; as JSON it is the value of ``AIRFLOW_CONN_...``."""
        extra = {"region": self.region, "endpoint": self.endpoint, "iam_endpoint": self.endpoint}
        if self._key.security_token:
            extra["security_token"] = self._key.security_token
        return {"conn_type": "modelarts", "login": self.access_key, "password": self.secret_key, "extra": extra}

    def settings(self) -> Settings:
        """Return the settings with which a client calls here. It tries again soon, and not for long."""
        return Settings(
            credentials=self._key, region=self.region, endpoint=self.endpoint, iam_endpoint=self.endpoint, retry=_RETRY
        )

    def add_search(self, search: Search) -> str:
        """Add a scripted search and return its job id."""
        self.cloud.add_search(search)
        return search.job_id

    def add_running_search(self, *, num_samples: int, terminated: int) -> str:
        """Add a search that stays as it is, and return its job id.

        :param num_samples: how many trials it will run.
        :param terminated: how many of them are listed; all of those are TERMINATED.
        """
        return self.add_search(running_search(self._new_name(), num_samples, terminated))

    def add_job(
        self, job_id: str, job: Mapping[str, JSON], header: Sequence[str] = (), data: Sequence[Sequence[JSON]] = ()
    ) -> str:
        """Add a job that is answered word by word, and return its id.

        :param job: what ShowTrainingJobDetails answers.
        :param header: names of the columns of its trial table.
        :param data: rows of the table, kept and not copied: what is appended later is listed from then on.
        """
        self.cloud.add(GivenJob(job_id, job, header, data))
        return job_id

    def add_table(
        self,
        header: Sequence[str],
        data: Sequence[Sequence[JSON]],
        *,
        objective: tuple[str, str] | None = ("acc", "max"),
        phase: str = "Completed",
    ) -> str:
        """Add a job with a trial table that is answered word by word, as by :meth:`add_job`, and return its id.

        :param objective: metric and mode of its search; None for a search that does not tell.
        """
        search = Search(name=self._new_name(), phases=((0, phase),), objectives=dict([objective] if objective else []))
        first, now = search.phase_at(0), self._clock()
        job = job_document(search, first, JobTimes.at_first(first, now), now)
        return self.add_job(search.job_id, job, header, data)

    def answer_next(
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
        acts: bool = False,
    ) -> None:
        """Answer the next requests with this, before anything of them is checked.

        :param path_part: requests with this in their path are meant.
        :param fault: name of a fault, instead of status, body and headers. It knows itself what ``acts`` must be.
        :param times: how many requests to answer so.
        :param after: how many requests to let pass before.
        :param delay: seconds to wait before answering.
        :param drop: close the connection instead of answering.
        :param method: only requests of this method are meant.
        :param acts: check the request and carry it out first, so that only its answer is lost.
        :raises ValueError: for a name that no fault has.
        """
        name = "closed" if drop else fault
        what = fault_of(name) if name else Fault("", instead(status, body, headers))
        self._canned.add(CannedAnswer(path_part, what, times, after, delay, method, acts))

    def receive(self, request: Received) -> CannedAnswer | None:
        """Note a request, and return the canned answer to it if there is one."""
        seen = SeenRequest(request.method, request.path, dict(parse_qsl(request.query, keep_blank_values=True)))
        self.requests.append(seen)
        if self.on_request is not None:
            self.on_request(seen)
        by_chance = self._chance.next_for(request.method, request.path)
        return self._canned.next_for(request.method, request.path) or by_chance

    def _new_name(self) -> str:
        return f"added-{next(self._numbers)}"

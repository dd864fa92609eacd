"""Record of a task and its job in Airflow, by which a later try recognises the job."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_modelarts.api.create_once import Posted
from airflow_provider_modelarts.core.job_identity import TaskIdentity
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

_STORE_KEY = "modelarts_job"
_RETENTION = timedelta(days=365)  # a task may be cleared long after its run


@dataclass(slots=True)
class JobRecord:
    """Record of a task's last creation, in the task state store of Airflow 3.3; in memory before.

    The store belongs to the row of the DAG run: retries and clears find the record, a run that is deleted and created
    again under the same id does not.

    :param nonce: random digits of the task, in the names of its jobs; empty without a store.
    :param generation: of the task that has stored the job.
    :param posted: a creation whose response is not stored.
    :param check_creation: called before each creation; raises an error to prevent it.
    """

    store: Any
    nonce: str = ""
    job_id: str | None = None
    generation: int | None = None
    posted: Posted | None = None
    check_creation: Callable[[], None] | None = None

    @classmethod
    def read(cls, context: Context) -> JobRecord:
        """Return the record of a task, with a new nonce on its first try."""
        store: Any = context.get("task_state_store")
        if store is None:
            return cls(None)
        match store.get(_STORE_KEY):
            case None:
                record = cls(store, nonce=secrets.token_hex(4))
                record._write()
                return record
            case {"nonce": str(nonce), "job_id": str() | None as job_id, "generation": int() | None as generation,
                  "posted_name": str(name), "posted_at": int() | float() as at}:  # fmt: skip
                return cls(store, nonce, job_id, generation, Posted(name, at) if name else None)
        raise ModelArtsConfigurationError(
            f"the task state store holds no record of a job under {_STORE_KEY!r}: delete this key, after stopping the "
            "jobs of the task"
        )

    def begin(self, name: str) -> None:
        """Record that the ``POST`` of a job is about to be sent."""
        if self.check_creation:
            self.check_creation()
        self.posted = Posted(name, time.time())
        self._write()

    def refuse(self) -> None:
        """Record that the platform has refused it."""
        self.posted = None
        self._write()

    def finish(self, job_id: str, generation: int) -> None:
        """Record the job of the task."""
        if (self.job_id, self.generation, self.posted) != (job_id, generation, None):
            self.job_id, self.generation, self.posted = job_id, generation, None
            self._write()

    def _write(self) -> None:
        if self.store is not None:
            name, at = (self.posted.name, self.posted.at) if self.posted else ("", 0)
            value = {"nonce": self.nonce, "job_id": self.job_id, "generation": self.generation}
            self.store.set(_STORE_KEY, {**value, "posted_name": name, "posted_at": at}, retention=_RETENTION)


def identity_of(context: Context, prefix: str, record: JobRecord) -> TaskIdentity:
    """Return the identity of a task, with all that Airflow offers to prove it."""
    ti, run = context["ti"], context["dag_run"]
    nonce_of_row = _nonce_of_row(run)
    return TaskIdentity(
        prefix=prefix,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        generation=ti.max_tries or 0,
        nonce=record.nonce or nonce_of_row,
        nonce_is_proof=bool(record.nonce) or (bool(nonce_of_row) and not _is_on_sqlite()),
        since=_start_of(run),
    )


def _nonce_of_row(run: Any) -> str:
    """Return digits of the run's row id, which Airflow 2.11 offers."""
    row_id = getattr(run, "id", None)
    return "" if row_id is None else sha256(f"run {row_id}".encode()).hexdigest()[:8]


def _is_on_sqlite() -> bool:
    """Return whether Airflow's database gives the id of a deleted row again."""
    return str(conf.get("database", "sql_alchemy_conn")).startswith("sqlite")


def _start_of(run: Any) -> float | None:
    """Return the start of a run, unless jobs of the run may be older.

    A clear of a run that has ended moves its start; ``airflow dags test`` sets it to the logical date.
    """
    start = run.start_date
    if start is None or run.clear_number != 0 or start == run.logical_date:
        return None
    return float(start.timestamp())

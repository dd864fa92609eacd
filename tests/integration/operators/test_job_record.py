"""Record of a task and its job, on each line of Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from integration.task_runs import StateStore, TaskInstance

from airflow_provider_modelarts.api.create_once import Posted
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError
from airflow_provider_modelarts.operators.job_record import JobRecord, identity_of

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(name="store")
def _store(tmp_path):
    """Task state store of Airflow 3.3."""
    return StateStore(tmp_path / "store")


def context(store=None, **run):
    """Return the context of a task."""
    run = SimpleNamespace(**{"start_date": START, "clear_number": 0, "logical_date": None, **run})
    known = {"ti": TaskInstance(max_tries=2), "dag_run": run}
    return known if store is None else {**known, "task_state_store": store}


def test_record_of_a_first_try_stores_its_nonce(store):
    """The nonce is stored before a job is created, and the same for every later try."""
    first, second = JobRecord.read(context(store)), JobRecord.read(context(store))

    assert len(first.nonce) == 8
    assert int(first.nonce, 16) >= 0
    assert (second.nonce, second.job_id, second.posted) == (first.nonce, None, None)


def test_records_of_two_runs_differ(tmp_path):
    """Each run has a store of its own."""
    nonces = {JobRecord.read(context(StateStore(tmp_path / str(number)))).nonce for number in range(20)}

    assert len(nonces) == 20


def test_record_of_a_creation_without_a_response(store):
    """A later try finds name and time of the creation."""
    JobRecord.read(context(store)).begin("job-name")

    posted = JobRecord.read(context(store)).posted

    assert posted.name == "job-name"
    assert posted.at == pytest.approx(datetime.now(UTC).timestamp(), abs=60)


@pytest.mark.parametrize("end", ["finish", "refuse"])
def test_record_of_a_creation_with_a_response(store, end):
    """A later try does not search for it."""
    record = JobRecord.read(context(store))
    record.begin("job-name")
    record.finish("job-1", 2) if end == "finish" else record.refuse()

    later = JobRecord.read(context(store))

    assert (later.posted, later.job_id) == (None, "job-1" if end == "finish" else None)


@pytest.mark.parametrize(
    "stored",
    ["text", [], {}, {"nonce": None}, {"nonce": "5ca1ab1e"}, {"nonce": "5ca1ab1e", "job_id": 5, "generation": 2}],
)
def test_record_that_is_not_one(store, stored):
    """A new nonce would hide the jobs of the task."""
    store.set("modelarts_job", stored, retention=timedelta(days=1))

    with pytest.raises(ModelArtsConfigurationError, match="the task state store holds no record of a job under"):
        JobRecord.read(context(store))


def test_record_without_a_store():
    """Below Airflow 3.3 nothing is stored."""
    record = JobRecord.read(context())
    record.begin("job-name")
    record.refuse()
    record.finish("job-1", 2)

    assert record == JobRecord(None, "", "job-1", 2)


def test_identity_on_airflow_3_3(store):
    """The nonce is proof."""
    record = JobRecord.read(context(store))

    identity = identity_of(context(store), "prod", record)

    assert (identity.nonce, identity.nonce_is_proof) == (record.nonce, True)
    assert (identity.prefix, identity.generation) == ("prod", 2)


def test_identity_on_airflow_2_11():
    """The row of the run is part of the name, and the same for every try."""
    nonces = [identity_of(context(id=row), "", JobRecord(None)).nonce for row in (17, 17, 18)]

    assert nonces[0] == nonces[1] != nonces[2]
    assert len(nonces[0]) == 8
    assert not identity_of(context(id=17), "", JobRecord(None)).nonce_is_proof  # on SQLite, as in these tests


def test_identity_on_airflow_2_11_with_postgresql(monkeypatch):
    """PostgreSQL never gives the id of a row again: it is proof."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://host/airflow")

    assert identity_of(context(id=17), "", JobRecord(None)).nonce_is_proof


def test_identity_on_airflow_3_0():
    """Only the start of the run bounds the age of its jobs."""
    identity = identity_of(context(), "", JobRecord(None))

    assert (identity.nonce, identity.nonce_is_proof, identity.since) == ("", False, START.timestamp())


@pytest.mark.parametrize(
    "run",
    [
        {"clear_number": 1, "start_date": START + timedelta(hours=1)},
        {"start_date": START, "logical_date": START},
        {"start_date": None},
    ],
    ids=["cleared run", "airflow dags test", "no start"],
)
def test_identity_in_a_run_whose_start_proves_nothing(run):
    """Jobs of the run may be older than its start."""
    assert identity_of(context(**run), "", JobRecord(None)).since is None


def test_posted_creation_is_equal_by_value():
    """The record compares creations."""
    assert Posted("a", 1.0) == Posted("a", 1.0)

"""Random faults in a share of all responses, the same for the same seed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from integration.emulator.bench import SCRIPT, Bench
from integration.emulator.wire import outcome

from modelarts_emulator import FAULTS
from modelarts_emulator.__main__ import main

COMMAND = [sys.executable, "-m", "modelarts_emulator"]
PROJECTS = "/v3/projects"


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_out_of_range_is_an_error(modelarts_emulator_factory, share):
    """The share is from 0 to 1."""
    with (
        pytest.raises(ValueError, match="fault_share must be from 0 to 1"),
        modelarts_emulator_factory(fault_share=share),
    ):
        pass


def test_share_of_all_responses_is_faulty(modelarts_emulator_factory):
    """About three in ten responses have one of the named faults; faults are counted by name."""
    with modelarts_emulator_factory(fault_share=0.3, fault_seed=7, faults=["500", "closed"]) as emulator:
        seen = [outcome(emulator, PROJECTS) for _ in range(200)]
        counts = dict(emulator.fault_counts)

    assert counts == {"500": seen.count("500"), "closed": seen.count("RemoteDisconnected")}
    assert 45 <= sum(counts.values()) <= 75
    assert min(counts.values()) >= 15
    assert seen.count("200") == 200 - sum(counts.values())


def test_same_seed_gives_the_same_faults(modelarts_emulator_factory):
    """Another seed gives other faults."""
    seen = []
    for seed in (7, 7, 8):
        with modelarts_emulator_factory(fault_share=0.5, fault_seed=seed, fault_seconds=0.01) as emulator:
            seen.append([outcome(emulator, PROJECTS) for _ in range(30)])

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_random_faults_are_transient(modelarts_emulator_factory):
    """Unless other faults are named, a caller that retries gets the right response."""
    with modelarts_emulator_factory(fault_share=1, fault_seconds=0.001) as emulator:
        job = f"/v2/{{p}}/training-jobs/{emulator.job_id('documented')}"
        for _ in range(150):
            outcome(emulator, f"{job}/autosearch-trials")
            outcome(emulator, job)
        happened = set(emulator.fault_counts)

    assert happened == {name for name, fault in FAULTS.items() if fault.is_transient}
    assert not happened & {"HTML", "wrong shape", "redirect", "clock skew", "page shrinks", "unknown status"}


def test_canned_response_takes_precedence_over_random_faults(modelarts_emulator_factory):
    """The random sequence continues, so that later faults stay the same."""
    with modelarts_emulator_factory(fault_share=1, faults=["500"]) as emulator:
        emulator.respond_next(PROJECTS, status=418)

        assert [outcome(emulator, PROJECTS) for _ in range(2)] == ["418", "500"]


def test_creation_with_a_random_fault_may_be_executed(modelarts_emulator_factory, tmp_path):
    """Of ten creations with a 500, some create a job, and some do not."""
    with modelarts_emulator_factory(
        scenarios=[], root=tmp_path, fault_share=1, fault_seed=1, faults=["500"]
    ) as emulator:
        bench = Bench(emulator)
        bench.write(SCRIPT)
        responses = [bench.post(bench.body(f"job-{number}", x=1)) for number in range(10)]
        created = sum(1 for _ in emulator.project.jobs())

    assert {response.refusal for response in responses} == {(500, "ModelArts.2950")}
    assert 1 <= created <= 9


def test_command_serves_with_faults(modelarts_emulator_factory, tmp_path):
    """The faults are those of an emulator in this process with the same share and seed."""
    ready = tmp_path / "ready.json"
    options = ["--fault-share", "1", "--fault-seed", "3", "--scenario", "tie", "--ready-file", str(ready)]
    with modelarts_emulator_factory(fault_share=1, fault_seed=3, fault_seconds=0.01) as emulator:
        expected = [outcome(emulator, PROJECTS) for _ in range(4)]
        with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            emulator.endpoint = json.loads(ready.read_text())["endpoint"]
            seen = [outcome(emulator, PROJECTS) for _ in range(4)]
            process.terminate()

    assert seen == expected


@pytest.mark.parametrize("share", ["2", "-1", "nan", "many"])
def test_command_refuses_a_share_out_of_range(share, capsys):
    """The command exits with a message."""
    with pytest.raises(SystemExit):
        main([f"--fault-share={share}"])

    assert f"'{share}' is not a share from 0 to 1" in capsys.readouterr().err

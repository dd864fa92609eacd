"""A share of all answers is faulty, by chance, and the same chance every time."""

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
def test_share_that_is_none_is_an_error(modelarts_emulator_factory, share):
    """It is between nothing and everything."""
    with (
        pytest.raises(ValueError, match="fault_share must be from 0 to 1"),
        modelarts_emulator_factory(fault_share=share),
    ):
        pass


def test_share_of_all_answers_is_faulty(modelarts_emulator_factory):
    """About three in ten, of the kinds that were named, and counted per kind."""
    with modelarts_emulator_factory(fault_share=0.3, fault_seed=7, faults=["500", "closed"]) as emulator:
        seen = [outcome(emulator, PROJECTS) for _ in range(200)]
        counts = dict(emulator.fault_counts)

    assert counts == {"500": seen.count("500"), "closed": seen.count("RemoteDisconnected")}
    assert 45 <= sum(counts.values()) <= 75
    assert min(counts.values()) >= 15
    assert seen.count("200") == 200 - sum(counts.values())


def test_seed_gives_the_same_faults_again(modelarts_emulator_factory):
    """Another seed gives others."""
    seen = []
    for seed in (7, 7, 8):
        with modelarts_emulator_factory(fault_share=0.5, fault_seed=seed, fault_seconds=0.01) as emulator:
            seen.append([outcome(emulator, PROJECTS) for _ in range(30)])

    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_faults_by_chance_are_those_that_pass(modelarts_emulator_factory):
    """Unless others are named, whoever asks again gets a right answer."""
    with modelarts_emulator_factory(fault_share=1, fault_seconds=0.001) as emulator:
        job = f"/v2/{{p}}/training-jobs/{emulator.job_id('documented')}"
        for _ in range(150):
            outcome(emulator, f"{job}/autosearch-trials")
            outcome(emulator, job)
        happened = set(emulator.fault_counts)

    assert happened == {name for name, fault in FAULTS.items() if fault.is_transient}
    assert not happened & {"HTML", "wrong shape", "redirect", "clock skew", "page shrinks", "unknown status"}


def test_answer_that_a_test_puts_in_goes_before_chance(modelarts_emulator_factory):
    """Chance throws its dice all the same, so that what follows stays as it was."""
    with modelarts_emulator_factory(fault_share=1, faults=["500"]) as emulator:
        emulator.respond_next(PROJECTS, status=418)

        assert [outcome(emulator, PROJECTS) for _ in range(2)] == ["418", "500"]


def test_creation_that_meets_a_fault_by_chance_may_have_happened_or_not(modelarts_emulator_factory, tmp_path):
    """Nobody who gets a 500 can know: some of the jobs are there, and some are not."""
    with modelarts_emulator_factory(
        scenarios=[], root=tmp_path, fault_share=1, fault_seed=1, faults=["500"]
    ) as emulator:
        bench = Bench(emulator)
        bench.write(SCRIPT)
        answers = [bench.post(bench.body(f"job-{number}", x=1)) for number in range(10)]
        there = sum(1 for _ in emulator.project.jobs())

    assert {answer.refusal for answer in answers} == {(500, "ModelArts.2950")}
    assert 1 <= there <= 9


def test_command_serves_with_faults(modelarts_emulator_factory, tmp_path):
    """The same as an emulator in this process with the same share and seed."""
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
def test_command_refuses_a_share_that_is_none(share, capsys):
    """It says so, and does not serve."""
    with pytest.raises(SystemExit):
        main([f"--fault-share={share}"])

    assert f"'{share}' is not a share from 0 to 1" in capsys.readouterr().err

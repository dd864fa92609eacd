"""Servers in this process, from the fixture, and from the command line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
from integration.emulated import settings_of
from integration.emulator.wire import get_trials, send

from airflow_provider_modelarts.api.settings import read_connection
from airflow_provider_modelarts.client import ModelArtsClient
from modelarts_emulator import DEMO_KEY, SCENARIOS, AccessKey, running
from modelarts_emulator.__main__ import main

COMMAND = [sys.executable, "-m", "modelarts_emulator"]


def test_emulators_share_nothing():
    """Each emulator has its own state and its own requests."""
    with running() as first, running() as second:
        send(first, "GET", f"/v2/{{p}}/training-jobs/{first.job_id('growing')}")

        assert first.endpoint != second.endpoint
        assert len(first.requests) == 1
        assert second.requests == []


def test_emulator_listens_on_loopback_and_stops(modelarts_emulator_factory):
    """Nothing listens after the block."""
    with modelarts_emulator_factory() as emulator:
        host, port = emulator.endpoint.removeprefix("http://").split(":")

    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_emulator_stops_when_the_block_fails(modelarts_emulator_factory):
    """The error of the block is raised."""
    with pytest.raises(KeyError, match="of the test"), modelarts_emulator_factory():
        raise KeyError("of the test")


def test_port_in_use_is_an_error(modelarts_emulator, modelarts_emulator_factory):
    """The caller receives the error, not the thread of the server."""
    port = int(modelarts_emulator.endpoint.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"), modelarts_emulator_factory(port=port):
        pass


ROOTS = {"file": (__file__, FileExistsError), "no path": ("a\0b", ValueError)}


@pytest.mark.parametrize(("root", "error"), ROOTS.values(), ids=ROOTS)
def test_root_that_cannot_be_used_is_an_error(modelarts_emulator_factory, root, error):
    """The caller receives the error, not the thread of the server."""
    with pytest.raises(error), modelarts_emulator_factory(root=root):
        pass


def test_unknown_scenario_is_an_error(modelarts_emulator_factory):
    """The message names the scenario."""
    with pytest.raises(KeyError, match="no-such-scenario"), modelarts_emulator_factory(scenarios=["no-such-scenario"]):
        pass


def test_emulator_holds_only_the_given_scenarios(modelarts_emulator_factory):
    """An empty list gives an emulator without jobs."""
    with modelarts_emulator_factory(scenarios=["tie"]) as one, modelarts_emulator_factory(scenarios=[]) as none:
        assert list(one.job_ids) == ["tie"]
        assert send(none, "POST", "/v2/{p}/training-job-searches").json["total"] == 0


def test_client_with_the_settings_calls_the_emulator(modelarts_emulator):
    """Without a project id in the settings, the client looks it up."""
    with ModelArtsClient(settings_of(modelarts_emulator)) as client:
        assert client.project_id == modelarts_emulator.project_id
        assert len(client.list_trials(modelarts_emulator.job_id("large"))) == 120


@pytest.mark.parametrize("token", [None, "temporary=="])
def test_client_with_the_connection_calls_the_emulator(modelarts_emulator_factory, token):
    """The fields are those of an Airflow connection, with a permanent or a temporary key."""
    with modelarts_emulator_factory(key=AccessKey("AK", "SK", token)) as emulator:
        fields = json.loads(json.dumps(emulator.connection()))
        assert fields.pop("conn_type") == "modelarts"
        with ModelArtsClient(read_connection(host=None, port=None, **fields)) as client:
            assert client.test_connection()[0]


def test_emulator_does_not_import_airflow():
    """The emulator runs without Airflow."""
    code = "import sys, modelarts_emulator.__main__; print('airflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_a_signal(tmp_path, signal_number):
    """The command prints one line with endpoint, access key and jobs; its exit code is 0."""
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [*COMMAND, "--ready-file", str(ready)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        known = json.loads(ready.read_text())
        with ModelArtsClient(read_connection(host=None, port=None, **connection_fields(known))) as client:
            total = len(client.list_trials(known["jobs"]["large"]))
        process.send_signal(signal_number)
        rest, errors = process.communicate(timeout=30)

    assert total == 120
    assert (process.returncode, rest, errors) == (0, "", "")
    assert set(known["jobs"]) == set(SCENARIOS)
    for word in (known["endpoint"], DEMO_KEY.access_key, known["project_id"], *known["jobs"].values()):
        assert word in line
    assert DEMO_KEY.secret_key not in line


def connection_fields(known):
    """Return the fields of the connection that the command wrote."""
    return {name: value for name, value in known["connection"].items() if name != "conn_type"}


def test_command_applies_its_options(tmp_path):
    """Options set scenarios, encodings and access key."""
    ready = tmp_path / "ready.json"
    options = ["--scenario", "tie", "--scenario", "large", "--config-encoding", "json", "--offset-unit", "row"]
    keys = ["--access-key", "MINE", "--secret-key", "mine"]
    with subprocess.Popen(
        [*COMMAND, *options, *keys, "--ready-file", str(ready)], stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        known = json.loads(ready.read_text())
        settings = read_connection(host=None, port=None, **connection_fields(known))
        with ModelArtsClient(settings) as client:
            path = f"/v2/{{project_id}}/training-jobs/{known['jobs']['large']}/autosearch-trials"
            page = client.request("GET", path, {"limit": 1, "offset": 119})
        process.terminate()

    assert process.returncode == 0
    assert (settings.credentials.access_key, settings.credentials.secret_key) == ("MINE", "mine")
    assert set(known["jobs"]) == {"tie", "large"}
    assert page["items"]["data"][0][4] == "1a490077"
    assert isinstance(page["items"]["data"][0][3], str)


def test_command_applies_a_listing_lag(tmp_path):
    """A job search lists the scenario that ended an hour ago, and not the one that is being created."""
    ready = tmp_path / "ready.json"
    options = ["--scenario", "tie", "--scenario", "growing", "--listing-lag", "600", "--ready-file", str(ready)]
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        fields = connection_fields(json.loads(ready.read_text()))
        with ModelArtsClient(read_connection(host=None, port=None, **fields)) as client:
            page = client.request("POST", "/v2/{project_id}/training-job-searches", body={})
        process.terminate()

    assert [job["metadata"]["name"] for job in page["items"]] == ["tie"]


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
def test_command_refuses_a_listing_lag_out_of_range(seconds, capsys):
    """The command exits with a message."""
    with pytest.raises(SystemExit):
        main([f"--listing-lag={seconds}"])

    assert f"'{seconds}' is not a number of seconds from 0 on" in capsys.readouterr().err


def test_command_warns_when_other_machines_can_reach_it():
    """Other machines could send scripts to execute."""
    with subprocess.Popen(
        [*COMMAND, "--host", "0.0.0.0"],  # noqa: S104 - the subject of the test
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=30)

    assert errors == "0.0.0.0 is not a loopback address: other machines can send scripts for this emulator to execute\n"


def test_command_fails_when_the_port_is_in_use(modelarts_emulator):
    """The message names the port, and the exit code is 1."""
    port = modelarts_emulator.endpoint.rpartition(":")[2]
    done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot serve on 127.0.0.1 port {port}: ")


def test_fixture_serves_a_new_emulator(modelarts_emulator):
    """Each test gets an emulator without earlier requests."""
    assert modelarts_emulator.requests == []
    assert get_trials(modelarts_emulator, modelarts_emulator.job_id("documented"))["total"] == 8

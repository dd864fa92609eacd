"""The vendor's client on the emulator: jobs of the vendor's models, from their creation to their end."""

from __future__ import annotations

import ast

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkmodelarts import v1
from integration.emulator.bench import ENDED, WAITING_SCRIPT, lives, until
from integration.emulator.test_vendor_client import make_client, trials_request

ENGINE = v1.JobEngine(engine_name="PyTorch", engine_version="pytorch_1.8.0-cuda_10.2-py_3.7-ubuntu_18.04-x86_64")


@pytest.fixture(name="vendor")
def _vendor(bench):
    """The vendor's client for the bench's emulator."""
    (bench.emulator.root / "bucket" / "data").mkdir()
    return make_client(bench.emulator, project_id=bench.emulator.project_id)


def create(vendor, **algorithm):
    """Create a job and return the vendor's model of it."""
    given = {
        "code_dir": "/bucket/code/",
        "boot_file": "/bucket/code/train.py",
        "engine": ENGINE,
        "parameters": [
            v1.Parameters(name="x", value="1", constraint=v1.ParametersConstraint(type="Integer", valid_type="None")),
            v1.Parameters(name="fail", value="-1"),
        ],
        "inputs": [
            v1.Input(name="data_url", remote=v1.InputDataInfo(obs=v1.InputDataInfoObs(obs_url="/bucket/data/")))
        ],
        "outputs": [v1.Output(name="train_url", remote=v1.Remote(obs=v1.RemoteObs(obs_url="obs://bucket/out/")))],
        "environments": {"MY_SETTING": "7"},
    }
    job = v1.Job(
        kind="job",
        metadata=v1.JobMetadata(name="my-job", workspace_id="0", description="a test"),
        algorithm=v1.JobAlgorithm(**given | algorithm),
        spec=v1.Spec(resource=v1.SpecResource(flavor_id="modelarts.vm.cpu.8u", node_count=1)),
    )
    return vendor.create_training_job(v1.CreateTrainingJobRequest(body=job))


def create_search(vendor, samples):
    """Create a search for the best x and return the vendor's model of it."""
    number = v1.AutoSearchAlgoConfigParameter(key="num_samples", value=str(samples), type="Integer")
    search = v1.AutoSearch(
        skip_search_params="",
        reward_attrs=[v1.RewardAttrs(name="acc", mode="max", regex="acc: ([0-9.]+)")],
        search_params=[v1.SearchParams(name="x", param_type="continuous", lower_bound="1", upper_bound="4")],
        algo_configs=[v1.AlgoConfigs(name="tpe_search", params=[number])],
    )
    return create(vendor, policies=v1.JobPolicies(auto_search=search))


def show(vendor, job_id):
    """Return a job."""
    return vendor.show_training_job_details(v1.ShowTrainingJobDetailsRequest(training_job_id=job_id))


def ended(vendor, job_id):
    """Return a job once it has ended."""
    return until(lambda: (job := show(vendor, job_id)).status.phase in ENDED and job)


def rows(vendor, job_id):
    """Return the trials of a job, by column."""
    items = vendor.show_auto_search_trials(trials_request(job_id)).items
    return [dict(zip(items.header, row, strict=True)) for row in items.data]


def test_vendor_client_creates_a_job(vendor):
    """The response fits the vendor's model, and holds the sent values."""
    job = create(vendor)

    assert (job.kind, job.metadata.name, job.metadata.description) == ("job", "my-job", "a test")
    assert (job.status.phase, job.status.tasks) == ("Creating", ["worker-0"])
    assert [(entry.name, entry.value) for entry in job.algorithm.parameters] == [("x", "1"), ("fail", "-1")]
    assert job.algorithm.inputs[0].remote.obs.obs_url == "/bucket/data/"
    assert job.algorithm.outputs[0].remote.obs.obs_url == "obs://bucket/out/"
    assert job.algorithm.engine.engine_name == "PyTorch"
    assert job.spec.resource.node_count == 1


def test_vendor_client_sees_the_job_complete(vendor):
    """The metadata are those of the creation."""
    created = create(vendor)
    job = ended(vendor, created.metadata.id)

    assert job.status.phase == "Completed"
    assert job.status.duration > 0
    assert job.metadata == created.metadata


def test_vendor_client_sees_why_a_job_failed(vendor):
    """The status holds exit code and message of the task."""
    job_id = create(
        vendor, parameters=[v1.Parameters(name="x", value="1"), v1.Parameters(name="fail", value="1")]
    ).metadata.id
    (task,) = ended(vendor, job_id).status.task_statuses

    assert (task.task, task.exit_code, task.message) == ("worker-0", 1, "cannot train with x = 1.0")


def test_vendor_client_reads_the_log(vendor):
    """The preview is the whole output of the script."""
    job_id = create(vendor).metadata.id
    ended(vendor, job_id)
    request = v1.ShowTrainingJobLogsPreviewRequest(training_job_id=job_id, task_id="worker-0")
    preview = vendor.show_training_job_logs_preview(request)

    assert preview.content.splitlines()[-1] == "loss: 0.2, acc: 0.8"
    assert preview.current_size == preview.full_size == len(preview.content)


def test_vendor_client_reads_the_events(vendor):
    """The events of the job, oldest first."""
    job_id = create(vendor).metadata.id
    ended(vendor, job_id)
    page = vendor.list_training_job_events(
        v1.ListTrainingJobEventsRequest(training_job_id=job_id, order="asc", limit=3)
    )

    assert page.total == 4
    assert [(event.level, event.source, event.message) for event in page.events] == [
        ("Info", "Job", f"Training job is {phase}.") for phase in ("Creating", "Pending", "Running")
    ]


def test_vendor_client_finds_the_job_by_its_name(vendor):
    """A filter on the name selects the job."""
    job_id = create(vendor).metadata.id
    wanted = v1.JobSearches(limit=5, offset=0, filters=[v1.Filter(key="name", operator="in", value=["my-job"])])
    page = vendor.list_training_jobs(v1.ListTrainingJobsRequest(body=wanted))

    assert [(job.metadata.id, job.metadata.name) for job in page.items] == [(job_id, "my-job")]


def test_vendor_client_creates_a_search(vendor):
    """The job holds the settings as they were sent."""
    job = show(vendor, create_search(vendor, 2).metadata.id)
    search = job.algorithm.policies.auto_search

    assert [(entry.name, entry.mode, entry.regex) for entry in search.reward_attrs] == [
        ("acc", "max", "acc: ([0-9.]+)")
    ]
    assert [(entry.name, entry.lower_bound, entry.upper_bound) for entry in search.search_params] == [("x", "1", "4")]
    assert [(entry.name, entry.params[0].value) for entry in search.algo_configs] == [("tpe_search", "2")]


def test_vendor_client_reads_the_trials(vendor):
    """All trials have ended; the values of an Integer parameter are whole numbers."""
    job_id = create_search(vendor, 4).metadata.id
    assert ended(vendor, job_id).status.phase == "Completed"
    trials = rows(vendor, job_id)

    assert [trial["status"] for trial in trials] == ["TERMINATED"] * 4
    for trial in trials:
        x = ast.literal_eval(trial["config"])["x"]  # the vendor's client converts the config to text
        assert x in {1, 2, 3, 4}
        assert float(trial["acc"]) == pytest.approx(1 - abs(x - 3) / 10)


def test_vendor_client_reads_one_trial(vendor):
    """Each report is a row; the last report is repeated as done."""
    job_id = create_search(vendor, 1).metadata.id
    ended(vendor, job_id)
    (trial,) = rows(vendor, job_id)
    request = v1.ShowAutoSearchPerTrialRequest(training_job_id=job_id, trial_id=trial["trial_id"])
    table = vendor.show_auto_search_per_trial(request)
    reports = [dict(zip(table.header, row, strict=True)) for row in table.data]

    assert [report["done"] for report in reports] == ["False", "False", "False", "True"]
    assert reports[-1]["acc"] == trial["acc"]


def test_vendor_client_reads_the_importance(vendor):
    """The table lists the only parameter."""
    job_id = create_search(vendor, 4).metadata.id
    ended(vendor, job_id)
    table = vendor.show_auto_search_params_analysis(v1.ShowAutoSearchParamsAnalysisRequest(training_job_id=job_id))

    assert table.header == ["parameters", "the mean/std of importance"]
    assert [row[0] for row in table.data] == ["x"]


def test_vendor_client_stops_a_trial_early(vendor, bench):
    """The response is the id of the trial."""
    bench.write(WAITING_SCRIPT)
    job_id = create_search(vendor, 2).metadata.id
    bench.waiting(2)
    trial_id = rows(vendor, job_id)[0]["trial_id"]
    request = v1.ShowAutoSearchTrialEarlyStopRequest(training_job_id=job_id, trial_id=trial_id)

    assert vendor.show_auto_search_trial_early_stop(request).earlystop_trial == trial_id
    until(lambda: rows(vendor, job_id)[0]["status"] == "TERMINATED")


def test_vendor_client_stops_a_running_job(vendor, bench):
    """The job is Terminating, then Terminated; a second stop is a conflict."""
    bench.write(WAITING_SCRIPT)
    job_id = create(vendor).metadata.id
    bench.waiting()
    request = v1.StopTrainingJobRequest(training_job_id=job_id, body=v1.JobActionType(action_type="terminate"))

    assert vendor.stop_training_job(request).status.phase == "Terminating"
    assert ended(vendor, job_id).status.phase == "Terminated"
    with pytest.raises(ClientRequestException) as raised:
        vendor.stop_training_job(request)
    assert (raised.value.status_code, raised.value.error_code) == (409, "ModelArts.2796")


def test_vendor_client_deletes_a_running_job(vendor, bench):
    """A read of the deleted job has status 400, as on the platform."""
    bench.write(WAITING_SCRIPT)
    job_id = create(vendor).metadata.id
    processes = bench.waiting()
    vendor.delete_training_job(v1.DeleteTrainingJobRequest(training_job_id=job_id))

    with pytest.raises(ClientRequestException) as raised:
        show(vendor, job_id)
    assert (raised.value.status_code, raised.value.error_code) == (400, "ModelArts.2775")
    until(lambda: not any(map(lives, processes)))


def test_vendor_client_reads_the_reason_of_a_refusal(vendor):
    """The error carries code and message of the refusal."""
    with pytest.raises(ClientRequestException) as raised:
        create(vendor, boot_file="/bucket/code/none.py")

    assert (raised.value.status_code, raised.value.error_code) == (400, "ModelArts.2758")
    assert "none.py" in raised.value.error_msg

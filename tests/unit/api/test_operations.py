"""Operations of the API: requests, and the values of their responses."""

from __future__ import annotations

import json
import math

import pytest
from unit.builders import documented

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.core.jobs import (
    JobEvent,
    JobPhase,
    Mode,
    Objective,
    SearchSettings,
)
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

JOB = "5b60a667-1438-4eb5-9705-85b860e623dc"


def test_list_trials_request():
    """The trials of a job are requested page by page."""
    request = operations.list_trials_page(JOB, limit=50, offset=3)

    assert (request.method, request.path) == ("GET", f"/v2/{{project_id}}/training-jobs/{JOB}/autosearch-trials")
    assert (dict(request.query), request.body) == ({"limit": "50", "offset": "3"}, b"")
    assert request.idempotent


def test_list_trials_response():
    """The documented response is read as a page of trials."""
    page = operations.list_trials_page(JOB, limit=50, offset=0).read(documented("list_trials"))

    assert (page.total, len(page.trials), page.trials[3].trial_id) == (8, 8, "ae5503c0")


@pytest.mark.parametrize("limit", [0, 51, -1])
def test_list_trials_with_an_invalid_limit(limit):
    """A page size beyond the platform's limits is not sent."""
    with pytest.raises(ModelArtsConfigurationError, match="page_size"):
        operations.list_trials_page(JOB, limit=limit, offset=0)


def test_show_training_job_request():
    """A job is requested by its id."""
    request = operations.show_training_job(JOB)

    assert (request.method, request.path) == ("GET", f"/v2/{{project_id}}/training-jobs/{JOB}")
    assert (list(request.query), request.body) == ([], b"")


def test_show_training_job_response():
    """The documented response is read as a job."""
    assert operations.show_training_job(JOB).read(documented("create_training_job_response")).phase is JobPhase.CREATING


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (operations.show_training_job, "training_job_id"),
        (lambda bad: operations.list_trials_page(bad, limit=50, offset=0), "training_job_id"),
        (operations.show_algorithm, "algorithm_id"),
        (operations.stop_training_job, "training_job_id"),
        (operations.delete_training_job, "training_job_id"),
        (operations.show_parameter_importance, "training_job_id"),
        (operations.list_events, "training_job_id"),
        (lambda bad: operations.show_log_preview(bad, "worker-0"), "training_job_id"),
        (lambda bad: operations.show_log_preview(JOB, bad), "task"),
        (lambda bad: operations.show_trial(bad, "ae544174"), "training_job_id"),
        (lambda bad: operations.show_trial(JOB, bad), "trial_id"),
        (lambda bad: operations.stop_trial(bad, "ae544174"), "training_job_id"),
        (lambda bad: operations.stop_trial(JOB, bad), "trial_id"),
    ],
)
def test_operation_with_an_id_that_changes_the_path(operation, name):
    """An id is checked before it enters a path, and the error names the argument."""
    with pytest.raises(ModelArtsConfigurationError, match=f"^{name} must be 1 to 64 letters"):
        operation("../x")


@pytest.mark.parametrize(
    "request_",
    [
        operations.show_training_job(JOB),
        operations.create_training_job({"kind": "job"}),
        operations.stop_training_job(JOB),
        operations.search_training_jobs(),
    ],
)
def test_response_with_a_job_id_that_changes_the_path(request_):
    """The id of a job is checked when it is read, because it enters the path of the next request."""
    response = {"metadata": {"id": "../x"}, "status": {"phase": "Running"}}

    with pytest.raises(ModelArtsProtocolError, match=r"no usable metadata\.id: '\.\./x'"):
        request_.read({"items": [response]} if "searches" in request_.path else response)


OBJECTS = {
    "training job": operations.show_training_job(JOB),
    "created job": operations.create_training_job({"kind": "job"}),
    "stopped job": operations.stop_training_job(JOB),
    "jobs": operations.search_training_jobs(),
    "trials": operations.list_trials_page(JOB, limit=50, offset=0),
    "trial": operations.show_trial(JOB, "ae544174"),
    "algorithm": operations.show_algorithm("a-1"),
}


@pytest.mark.parametrize("request_", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("response", [None, [], "text", 7, True, math.nan, -math.inf])
def test_response_without_the_required_object(request_, response):
    """JSON that is not an object is a protocol error of every operation."""
    with pytest.raises(ModelArtsProtocolError, match="should be a JSON object, but is "):
        request_.read(response)


def test_show_algorithm_request():
    """An algorithm is requested by its id."""
    request = operations.show_algorithm("3f5d6706-7b67-408d-8ba0-ec08048c45ed")

    assert request.method == "GET"
    assert request.path == "/v2/{project_id}/algorithms/3f5d6706-7b67-408d-8ba0-ec08048c45ed"


def test_show_algorithm_response():
    """Search settings are read from the documented fields of an algorithm."""
    response = {
        "metadata": {"id": "a-1", "name": "tuned"},
        "advanced_config": {
            "auto_search": {
                "algo_configs": [
                    {
                        "name": "bayes_opt_search",
                        "params": [
                            {"key": "kind", "value": "ucb", "type": "String"},
                            {"key": "num_samples", "value": "20", "type": "Integer"},
                        ],
                    }
                ],
                "reward_attrs": [{"name": "max_search", "mode": "max", "regex": "10.0"}],
                "search_params": [{"name": "test_search", "lower_bound": "1", "upper_bound": "10"}],
            }
        },
    }

    algorithm = operations.show_algorithm("a-1").read(response)

    assert (algorithm.id, algorithm.name) == ("a-1", "tuned")
    assert algorithm.search == SearchSettings((Objective("max_search", Mode.MAX, "10.0"),), 20)


@pytest.mark.parametrize("response", [{}, {"advanced_config": None}, {"advanced_config": {"auto_search": None}}])
def test_show_algorithm_without_a_search(response):
    """An algorithm without a search has no search settings."""
    assert operations.show_algorithm("a-1").read(response).search is None


def test_search_training_jobs_request():
    """Jobs are listed by a POST, which is idempotent."""
    request = operations.search_training_jobs(limit=10, offset=2)

    assert (request.method, request.path) == ("POST", "/v2/{project_id}/training-job-searches")
    assert json.loads(request.body).items() >= {"limit": 10, "offset": 2}.items()
    assert request.idempotent


def test_search_training_jobs_response():
    """A page of jobs holds jobs and the total."""
    item = documented("create_training_job_response")

    page = operations.search_training_jobs().read({"total": 137, "count": 1, "items": [item]})

    assert ([job.name for job in page.jobs], page.total) == (["test-pytorch-cpu01"], 137)


@pytest.mark.parametrize("response", [{"total": 0, "items": []}, {"total": 0, "items": None}, {}])
def test_search_training_jobs_without_jobs(response):
    """A response without jobs is an empty page."""
    page = operations.search_training_jobs().read(response)

    assert (list(page.jobs), page.total) == ([], 0)


@pytest.mark.parametrize("response", [None, [], "text", {"items": {"a": 1}}, {"items": "text"}, {"items": [1]}])
def test_search_training_jobs_with_an_invalid_response(response):
    """A response of another shape is a protocol error."""
    with pytest.raises(ModelArtsProtocolError):
        operations.search_training_jobs().read(response)


def test_search_training_jobs_with_filters():
    """Filters are sent in the documented form."""
    request = operations.search_training_jobs(filters=[("name", "in", ["a", "b"]), ("phase", "not", ("Failed",))])

    assert json.loads(request.body)["filters"] == [
        {"key": "name", "operator": "in", "value": ["a", "b"]},
        {"key": "phase", "operator": "not", "value": ["Failed"]},
    ]


@pytest.mark.parametrize(
    ("request_", "method", "path", "idempotent"),
    [
        (operations.show_trial(JOB, "ae544174"), "GET", "/autosearch-trials/ae544174", True),
        (operations.stop_trial(JOB, "ae544174"), "POST", "/autosearch-trial-earlystop/ae544174", True),
        (operations.show_parameter_importance(JOB), "GET", "/autosearch-parameter-analysis", True),
        (operations.stop_training_job(JOB), "POST", "/actions", True),
        (operations.delete_training_job(JOB), "DELETE", "", True),
        (operations.list_events(JOB), "GET", "/events", True),
        (operations.show_log_preview(JOB, "worker-0"), "GET", "/tasks/worker-0/logs/preview", True),
    ],
)
def test_operation_on_a_job(request_, method, path, idempotent):
    """Each operation on a job has the documented method and path, and is idempotent."""
    assert (request_.method, request_.path) == (method, f"/v2/{{project_id}}/training-jobs/{JOB}{path}")
    assert request_.idempotent is idempotent


def test_create_training_job():
    """A job is created by a POST of its body, which is not idempotent because each job costs money."""
    request = operations.create_training_job({"kind": "job", "metadata": {"name": "n"}})

    assert (request.method, request.path) == ("POST", "/v2/{project_id}/training-jobs")
    assert json.loads(request.body) == {"kind": "job", "metadata": {"name": "n"}}
    assert not request.idempotent
    assert request.read(documented("create_training_job_response")).name == "test-pytorch-cpu01"


def test_stop_training_job():
    """Stopping sends the documented action, and returns the job."""
    request = operations.stop_training_job(JOB)

    job = request.read({"metadata": {"id": JOB}, "status": {"phase": "Terminating"}})

    assert json.loads(request.body) == {"action_type": "terminate"}
    assert job.phase is JobPhase.TERMINATING


@pytest.mark.parametrize("response", ["", None, {}])
def test_delete_training_job_response(response):
    """The response to a deletion is ignored."""
    assert operations.delete_training_job(JOB).read(response) is None


def test_show_trial_response():
    """The documented response is read as the reports of one trial."""
    reports = operations.show_trial(JOB, "ae544174").read(documented("show_trial"))

    assert [(trial.trial_id, trial.done) for trial in reports] == [("ae544174", False), ("ae544174", True)]


@pytest.mark.parametrize("response", [{"earlystop_trial": "ae544174"}, {}, None, ""])
def test_stop_trial_response(response):
    """The value is the trial that the response names, or else the requested one."""
    assert operations.stop_trial(JOB, "ae544174").read(response) == "ae544174"


def test_show_parameter_importance_response():
    """Mean and deviation are read from one cell, divided by a slash."""
    response = {
        "header": ["parameters", "the mean/std of importance"],
        "data": [["batch_size", "0.2443/0.3867"], ["learning_rate", "0.6992/0.4040"], ["x", "0.5"], ["y", ""], ["z"]],
    }

    importances = operations.show_parameter_importance(JOB).read(response)

    assert [(each.name, each.mean, each.std) for each in importances] == [
        ("batch_size", 0.2443, 0.3867),
        ("learning_rate", 0.6992, 0.404),
        ("x", 0.5, None),
        ("y", None, None),
        ("z", None, None),
    ]


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {"limit": "50", "order": "desc"}),
        ({"level": "Error", "limit": 5}, {"limit": "5", "order": "desc", "level": "Error"}),
    ],
)
def test_list_events_request(arguments, query):
    """Events are requested newest first, of one level or all."""
    assert dict(operations.list_events(JOB, **arguments).query) == query


def test_list_events_response():
    """An event has a time, level, message and source; missing values are empty."""
    response = {
        "total": 2,
        "events": [
            {"time": "2024-01-02T11:04:05+08:00", "level": "Error", "message": "out of memory", "source": "Task"},
            {"message": "created"},
        ],
    }

    first, second = operations.list_events(JOB).read(response)

    assert first == JobEvent("2024-01-02T11:04:05+08:00", "Error", "out of memory", "Task")
    assert second == JobEvent("", "", "created", "")


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"content": "line\n", "current_size": 5, "full_size": 5242880}, "line\n"),
        ({"context": "old\n"}, "old\n"),
        ({"content": ""}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_show_log_preview_response(response, text):
    """The text of a log is in one of two fields; a response without it is an empty log."""
    assert operations.show_log_preview(JOB, "worker-0").read(response) == text


def test_find_project_request():
    """IAM is queried for the project that has the region's name."""
    request = operations.find_project("cn-north-4")

    assert (request.method, request.path, dict(request.query)) == ("GET", "/v3/projects", {"name": "cn-north-4"})
    assert request.service == "iam"


@pytest.mark.parametrize(
    "projects",
    [
        [{"id": "p1", "name": "cn-north-4"}],
        [{"id": "p0", "name": "cn-north-4_team"}, {"id": "p1", "name": "cn-north-4"}],
        [{"id": "p1", "name": "cn-north-4", "domain_id": "d", "enabled": True}, "broken", None],
    ],
)
def test_find_project_response(projects):
    """The project with exactly the region's name is returned, not a sub-project with a longer name."""
    assert operations.find_project("cn-north-4").read({"projects": projects}) == "p1"


@pytest.mark.parametrize("projects", [[], [{"id": "p0", "name": "cn-north-4_team"}], [{"id": "p0"}]])
def test_find_project_without_a_match(projects):
    """A missing project is an error that names the fields to set."""
    with pytest.raises(
        ModelArtsConfigurationError, match=r"no project named 'cn-north-4' .* check the region, or set project_id"
    ):
        operations.find_project("cn-north-4").read({"projects": projects})


def test_find_project_with_several_matches():
    """Several projects of the same name are an error that lists them."""
    projects = [{"id": name, "name": "cn-north-4"} for name in ("p1", "p2")]

    with pytest.raises(ModelArtsConfigurationError, match=r"\(p1, p2\): set project_id"):
        operations.find_project("cn-north-4").read({"projects": projects})


@pytest.mark.parametrize("response", [None, {}, [], {"projects": None}, {"projects": {}}, "text"])
def test_find_project_with_an_invalid_response(response):
    """A response without a list of projects is a protocol error."""
    with pytest.raises(ModelArtsProtocolError, match="list of projects"):
        operations.find_project("cn-north-4").read(response)


@pytest.mark.parametrize("project_id", ["../x", "", None, {}])
def test_find_project_with_an_id_that_changes_the_path(project_id):
    """A project id from IAM is checked when it is read, because it enters paths."""
    with pytest.raises(ModelArtsProtocolError, match="without a usable id"):
        operations.find_project("cn-north-4").read({"projects": [{"id": project_id, "name": "cn-north-4"}]})


@pytest.mark.parametrize(
    ("method", "idempotent"),
    [("GET", True), ("get", True), ("POST", False), ("PUT", False), ("DELETE", False), ("PATCH", False)],
)
def test_any_request_method(method, idempotent):
    """Among undocumented operations, only GET is idempotent."""
    request = operations.any_request(method, "/v2/{project_id}/training-quotas")

    assert (request.method, request.idempotent) == (method.upper(), idempotent)


def test_any_request():
    """Query and body are sent, and the response is returned unchanged."""
    request = operations.any_request("POST", "/v2/x", {"limit": 5, "name": "a b"}, {"lr": 0.1})

    assert (list(request.query), json.loads(request.body)) == ([("limit", "5"), ("name", "a b")], {"lr": 0.1})
    assert request.read([1, None]) == [1, None]


@pytest.mark.parametrize(("body", "sent"), [(None, b""), ({}, b"{}"), ([], b"[]"), ("", b'""'), (0, b"0")])
def test_any_request_body(body, sent):
    """None sends no body; any other value is sent as JSON."""
    assert operations.any_request("POST", "/v2/x", body=body).body == sent


@pytest.mark.parametrize(
    "path", ["", "v2/x", "//evil.example.com/x", "https://evil.example.com", "/v2/../x", "/..", "/v2/x?limit=5"]
)
def test_any_request_with_an_invalid_path(path):
    """A path that names another host, steps upwards or holds a query is refused."""
    with pytest.raises(ModelArtsConfigurationError, match="path must begin with one '/'"):
        operations.any_request("GET", path)


@pytest.mark.parametrize("path", ["/v2/%2e%2e/x", "/v2/%2E./x", "/v2/.%2e%2fx"])
def test_any_request_with_an_encoded_invalid_path(path):
    """A path that steps upwards is refused in any encoding, because it is decoded before it is sent."""
    with pytest.raises(ModelArtsConfigurationError, match="path must begin with one '/'"):
        operations.any_request("GET", path)


def test_any_request_with_a_flag_in_its_query():
    """A flag in a query is sent in lower case, as the vendor's SDK does."""
    assert list(operations.any_request("GET", "/v2/x", {"enable": True}).query) == [("enable", "true")]


def test_any_request_with_a_body_that_is_not_json():
    """A body that is not JSON is refused before any request."""
    with pytest.raises(ModelArtsConfigurationError):
        operations.any_request("POST", "/v2/x", body={"lr": float("nan")})

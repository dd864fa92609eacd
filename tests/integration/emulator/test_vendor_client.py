"""The vendor's client on the emulator: searches, trials, IAM and errors."""

from __future__ import annotations

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkmodelarts.v1 import (
    JobSearches,
    ListTrainingJobsRequest,
    ModelArtsClient,
    ShowAlgorithmByUuidRequest,
    ShowAutoSearchTrialsRequest,
    ShowTrainingJobDetailsRequest,
)


@pytest.fixture(name="vendor")
def _vendor(modelarts_emulator):
    """The vendor's client, with a project id."""
    return make_client(modelarts_emulator, project_id=modelarts_emulator.project_id)


def make_client(emulator, *, secret=None, project_id=None):
    """Return the vendor's client for an emulator; without a project id, the client calls IAM."""
    credentials = BasicCredentials(emulator.access_key, secret or emulator.secret_key, project_id)
    return (
        ModelArtsClient.new_builder()
        .with_credentials(credentials.with_iam_endpoint(emulator.endpoint))
        .with_region(Region(emulator.region, emulator.endpoint))
        .build()
    )


def trials_request(job_id, offset=0):
    """Return the request for one page of 50 trials."""
    return ShowAutoSearchTrialsRequest(training_job_id=job_id, limit=50, offset=offset)


def test_vendor_client_reads_the_documented_trials(vendor, modelarts_emulator):
    """Total and ids are those of the API reference."""
    response = vendor.show_auto_search_trials(trials_request(modelarts_emulator.job_id("documented"))).to_json_object()

    assert response["total"] == 8
    assert [row[4] for row in response["items"]["data"]] == [
        "ae544174", "ae548666", "ae54c0ea", "ae5503c0", "bef46590", "bef578f4", "bef5c584", "bef60684",
    ]  # fmt: skip


def test_vendor_client_reads_all_pages_of_a_large_search(vendor, modelarts_emulator):
    """The pages have 50, 50 and 20 trials, each trial once, in order."""
    job_id = modelarts_emulator.job_id("large")
    pages = [vendor.show_auto_search_trials(trials_request(job_id, page)).to_json_object() for page in range(3)]

    assert [(page["total"], page["count"], page["offset"]) for page in pages] == [
        (120, 50, 0),
        (120, 50, 1),
        (120, 20, 2),
    ]
    assert [row[4] for page in pages for row in page["items"]["data"]] == [f"1a49{i:04x}" for i in range(120)]


def test_vendor_client_reads_job_and_algorithm(vendor, modelarts_emulator):
    """Both fit the vendor's models, where the discrete values of an algorithm are one text."""
    job_id = modelarts_emulator.job_id("algorithm-search")
    job = vendor.show_training_job_details(ShowTrainingJobDetailsRequest(training_job_id=job_id))
    algorithm = vendor.show_algorithm_by_uuid(ShowAlgorithmByUuidRequest(algorithm_id=job.algorithm.id))

    assert job.status.phase == "Running"
    assert job.algorithm.policies.auto_search is None
    search = algorithm.advanced_config.auto_search
    assert (search.reward_attrs[0].name, search.reward_attrs[0].mode) == ("acc", "max")
    assert search.search_params[0].discrete_values == "16,32,64"


def test_vendor_client_searches_jobs(vendor, modelarts_emulator):
    """The signature of a POST covers the hash of its body."""
    response = vendor.list_training_jobs(ListTrainingJobsRequest(body=JobSearches(limit=5, offset=1)))

    assert response.total == len(modelarts_emulator.job_ids)
    assert response.count == len(response.items) == 5


def test_vendor_client_finds_the_project_in_iam(modelarts_emulator):
    """Without a project id, the client calls IAM for the project that is named after the region."""
    vendor = make_client(modelarts_emulator)

    job_id = modelarts_emulator.job_id("documented")
    assert vendor.show_auto_search_trials(trials_request(job_id)).total == 8
    assert modelarts_emulator.requests[0].path == "/v3/projects"


def test_vendor_client_with_a_wrong_secret_is_refused(modelarts_emulator):
    """The error carries the gateway's message and the request id."""
    vendor = make_client(modelarts_emulator, secret="wrong", project_id=modelarts_emulator.project_id)

    with pytest.raises(ClientRequestException) as raised:
        vendor.show_auto_search_trials(trials_request("x"))

    assert (raised.value.status_code, raised.value.error_code) == (401, "APIGW.0301")
    assert raised.value.error_msg == "Incorrect IAM authentication information: verify aksk signature fail"
    assert raised.value.request_id

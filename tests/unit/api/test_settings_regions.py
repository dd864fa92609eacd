"""Endpoints of the services, against the vendor's own tables."""

from __future__ import annotations

import pytest
from huaweicloudsdkcore.auth.endpoint import get_iam_endpoint_by_id
from huaweicloudsdkmodelarts.v1.region.modelarts_region import ModelArtsRegion

from airflow_provider_modelarts.api import settings

REGIONS = sorted(ModelArtsRegion.static_fields)
REGIONS_OF_IAM_ONLY = (
    "ae-ad-1 cn-east-2 cn-east-5 cn-south-2 eu-west-0 my-kualalumpur-1 na-mexico-1 ru-moscow-1".split()
)


def test_regions_of_the_vendor():
    """The vendor's table is there to compare with."""
    assert len(REGIONS) >= 20
    assert "cn-north-4" in REGIONS


@pytest.mark.parametrize("region", [region for region in REGIONS if region != "ap-southeast-1"])
def test_modelarts_endpoint_of_a_region(region):
    """The endpoint of each region is the vendor's."""
    assert settings.modelarts_endpoint(region) in ModelArtsRegion.value_of(region).endpoints


def test_modelarts_endpoint_of_hong_kong():
    """The SDK gives one region the ending .cn, against the documents; ours follows the documents."""
    assert settings.modelarts_endpoint("ap-southeast-1") == "https://modelarts.ap-southeast-1.myhuaweicloud.com"


@pytest.mark.parametrize("region", [*REGIONS, *REGIONS_OF_IAM_ONLY, "xx-new-1"])
def test_iam_endpoint_of_a_region(region):
    """IAM's endpoint of each region is the vendor's: its own, or the global one where it has none."""
    assert settings.iam_endpoint(region) == (get_iam_endpoint_by_id(region) or "https://iam.myhuaweicloud.com")

"""Where the services live, per region (``modelarts_region.py`` and ``auth/endpoint.py`` of the vendor's SDK)."""

from __future__ import annotations

import re

CONSOLE = "https://console.huaweicloud.com"

_IAM_REGIONS = frozenset(
    """
    ae-ad-1 af-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 cn-east-2 cn-east-3 cn-east-4
    cn-east-5 cn-north-1 cn-north-2 cn-north-4 cn-north-9 cn-north-12 cn-south-1 cn-south-2 cn-southwest-2 eu-west-0
    la-north-2 la-south-2 me-east-1 my-kualalumpur-1 na-mexico-1 ru-moscow-1 sa-brazil-1 tr-west-1
    """.split()
)


def modelarts_endpoint(region: str) -> str:
    """Return the ModelArts endpoint of a region.

    The SDK gives ap-southeast-1 the ending ``.cn``, against its own pattern and the documents; the connection's
    ``endpoint`` overrides it.
    """
    return f"https://modelarts.{region}.myhuaweicloud.com"


def iam_endpoint(region: str) -> str:
    """Return the IAM endpoint of a region; the global one where the region has none of its own."""
    return f"https://iam.{region}.myhuaweicloud.com" if region in _IAM_REGIONS else "https://iam.myhuaweicloud.com"


def is_elsewhere(url: str, region: str) -> bool:
    """Return whether a URL is the public endpoint of a service in another region."""
    found = re.match(r"https?://[a-z]+\.([a-z0-9-]+)\.myhuaweicloud\.", url)
    return found is not None and found[1] != region

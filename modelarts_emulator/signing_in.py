"""Operations that sign in: of IAM, and of the metadata service that a server in the cloud has."""

from __future__ import annotations

import json

from modelarts_emulator.calls import Call, Said
from modelarts_emulator.cloud import Cloud


def create_token(cloud: Cloud, call: Call) -> object:
    """KeystoneCreateUserTokenByPassword: the token is in a header."""
    token, body = cloud.iam.create_token(call.object())
    return Said({"X-Subject-Token": token, "Content-Type": "application/json"}, json.dumps(body))


def create_hop_token(cloud: Cloud, call: Call) -> object:
    """Give out the token that the metadata service asks for, as text."""
    return Said({}, cloud.iam.hop_token())


def show_agency_key(cloud: Cloud, call: Call) -> object:
    """Give out temporary keys of the agency."""
    return cloud.iam.create_agency_key(call.headers.get("x-metadata-token"))

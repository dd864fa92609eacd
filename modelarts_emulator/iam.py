"""What IAM and the metadata service hand out: tokens for passwords, and the temporary keys of an agency."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_modelarts.api.credentials import PasswordLogin
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.core.json_values import JSON, child, text
from modelarts_emulator.errors import Refusal
from modelarts_emulator.jobs import Clock

#: The IAM user of the demonstration. He exists in emulators only.
DEMO_USER = PasswordLogin("emulator-user", "emulatorPassword00000", "emulator-account")

_DAY = 24 * 3600.0


@dataclass(slots=True)
class Iam:
    """One account with one user, and an agency.

    :param lifetime: seconds that tokens and temporary keys are good for.
    """

    clock: Clock
    region: str
    project_id: str
    user: PasswordLogin = DEMO_USER
    lifetime: float = _DAY
    hop_tokens: bool = True
    _tokens: dict[str, float] = field(default_factory=dict, repr=False)
    _keys: dict[str, tuple[AccessKey, float]] = field(default_factory=dict, repr=False)
    _hop_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def create_token(self, body: JSON) -> tuple[str, JSON]:
        """Return a token, and what IAM says of it; or refuse as KeystoneCreateUserTokenByPassword does."""
        user = child(body, "auth", "identity", "password", "user")
        given = (text(child(user, "name")), text(child(user, "password")), text(child(user, "domain", "name")))
        if given != (self.user.user, self.user.password, self.user.domain_name):
            raise Refusal(401, "IAM.0062", "Incorrect username or password.")
        project = child(body, "auth", "scope", "project")
        if child(project, "id") != self.project_id and child(project, "name") != self.region:
            raise Refusal(401, "IAM.0001", "The project of the scope does not exist.")
        token, now = secrets.token_urlsafe(48), self.clock()
        self._tokens[token] = now + self.lifetime
        return token, {
            "token": {
                "issued_at": _instant(now),
                "expires_at": _instant(now + self.lifetime),
                "methods": ["password"],
                "project": {"id": self.project_id, "name": self.region},
                "user": {"name": self.user.user, "domain": {"name": self.user.domain_name}},
            }
        }

    def check_token(self, token: str) -> None:
        """Refuse a token that was never given out, was revoked, or has ended."""
        ends = self._tokens.get(token)
        if ends is None:
            raise Refusal(401, "APIGW.0301", "Incorrect IAM authentication information: decrypt token fail")
        if self.clock() >= ends:
            raise Refusal(401, "APIGW.0307", "The token must be updated.")

    def revoke(self) -> None:
        """Take back all tokens and temporary keys, as IAM does after a change of password or permissions."""
        self._tokens.clear()
        self._keys.clear()

    def hop_token(self) -> str:
        """Return the token that the metadata service asks for; refuse where it does without."""
        if not self.hop_tokens:
            raise Refusal(404, "404", "Not Found")
        return self._hop_token

    def create_agency_key(self, hop_token: str | None) -> JSON:
        """Return temporary keys of the agency, or refuse a caller without the metadata service's token."""
        if self.hop_tokens and hop_token != self._hop_token:
            raise Refusal(401, "401", "Unauthorized")
        now = self.clock()
        key = AccessKey(f"AGENCY{secrets.token_hex(7).upper()}", secrets.token_hex(20), secrets.token_urlsafe(48))
        self._keys[key.access_key] = key, now + self.lifetime
        return {
            "credential": {
                "access": key.access_key,
                "secret": key.secret_key,
                "securitytoken": key.security_token,
                "expires_at": _instant(now + self.lifetime),
            }
        }

    def agency_key(self, access_key: str) -> AccessKey | None:
        """Return temporary keys that are good; None where there are none of this id."""
        key, ends = self._keys.get(access_key, (None, 0.0))
        return key if self.clock() < ends else None


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

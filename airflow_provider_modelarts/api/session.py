"""Session: everything that this process knows of one caller, under one key, for both drivers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from airflow_provider_modelarts.api.credentials import Credential, CredentialProvider, Issued
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsTransportError

#: Five bad signatures in a row lock an access key for everyone, and IAM locks its users in the same way. A refused
#: credential is therefore not sent again for this long.
REFUSAL_SECONDS = 60.0

#: Who calls, which IAM, which ModelArts, and for which project or region.
_Key: TypeAlias = tuple[CredentialProvider, str, str, str]

_sessions: dict[_Key, Session] = {}


@dataclass(slots=True, eq=False)
class Session:
    """Project id, credential and refusals of one caller. Times are seconds since the epoch.

    :param stays_good: a secret access key that worked once keeps working; a password may be changed.
    :param project_id: as IAM returned it for the region; None before.
    :param is_proven: the platform has accepted the caller's own credential.
    """

    stays_good: bool
    project_id: str | None = None
    is_proven: bool = False
    _issued: Issued | None = None
    _refused: Credential | None = None
    _refusal: Response | None = None
    _refused_until: float = 0.0

    def keep(self, issued: Issued) -> None:
        """Replace the credential."""
        self._issued, self._refused = issued, None

    def refuse(self, credential: Credential) -> None:
        """Record that the platform refused the credential: every caller alike joins its renewal."""
        self._refused = credential

    def fresh(self, now: float) -> Credential | None:
        """Return the credential, unless it is due for renewal or was refused."""
        issued = self._issued
        return issued.credential if issued and now < issued.renew_at and issued.credential != self._refused else None

    def valid(self, refused: Credential | None, now: float) -> Credential | None:
        """Return the credential if it has not expired, even when it is due for renewal.

        :param refused: credential that the platform refused to the caller, and that is therefore not returned.
        """
        issued = self._issued
        return issued.credential if issued and now < issued.expires_at and issued.credential != refused else None

    def refusal(self, now: float) -> Response | None:
        """Return the refusal of the last minute, if there was one."""
        return self._refusal if now < self._refused_until else None

    def learn(self, reply: Response | ModelArtsTransportError, now: float) -> None:
        """Record the reply to a request that carried the caller's own credential."""
        match reply:
            case Response(status=401, is_repeated=False) if not self.is_proven:
                self._refusal, self._refused_until = replace(reply, is_repeated=True), now + REFUSAL_SECONDS
            case Response(status=status) if status < 500 and status not in (401, 429):
                self.is_proven = self.stays_good


def session_of(settings: Settings) -> Session:
    """Return the session of the caller that these settings describe."""
    key = _key(settings)
    if key not in _sessions:
        _sessions[key] = Session(stays_good=isinstance(settings.credentials, AccessKey))
    return _sessions[key]


def known_project_id(settings: Settings) -> str | None:
    """Return the project id, unless it must be looked up first."""
    return settings.project_id or session_of(settings).project_id


def _key(settings: Settings) -> _Key:
    iam = settings.base_url("iam") if settings.region or settings.iam_endpoint else ""
    return settings.credentials, iam, settings.base_url("modelarts"), settings.project_id or settings.region or ""

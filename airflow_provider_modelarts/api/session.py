"""What this process knows of each caller: project, credential, refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from airflow_provider_modelarts.api.credentials import Credential, CredentialProvider, Issued
from airflow_provider_modelarts.api.exchange import Reply
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey

#: Who signs in, where, and for which project.
Identity: TypeAlias = tuple[CredentialProvider, str, str, str]

_held: dict[Identity, Issued] = {}


def identity(settings: Settings) -> Identity:
    """Return under what is kept what is known of a sign-in."""
    iam = settings.base_url("iam") if settings.region or settings.iam_endpoint else ""
    return settings.credentials, iam, settings.base_url("modelarts"), settings.project_id or settings.region or ""


def keep(settings: Settings, issued: Issued) -> None:
    """Keep a credential in the place of the one before."""
    _held[identity(settings)] = issued


def fresh(settings: Settings, refused: Credential | None, now: float) -> Credential | None:
    """Return the credential, unless it is due for renewal or was refused."""
    issued = _usable(settings, refused)
    return issued.credential if issued and now < issued.renew_at else None


def valid(settings: Settings, refused: Credential | None, now: float) -> Credential | None:
    """Return the credential if it has not ended yet, due for renewal or not, unless it was refused."""
    issued = _usable(settings, refused)
    return issued.credential if issued and now < issued.expires_at else None


def _usable(settings: Settings, refused: Credential | None) -> Issued | None:
    issued = _held.get(identity(settings))
    return None if issued is None or issued.credential == refused else issued


_REMEMBERED = 60.0  # seconds


@dataclass(slots=True)
class Standing:
    """How the platform takes one sign-in; times are seconds since the epoch.

    :param may_change: what was good once may be bad later: so is a password, but not a secret access key.
    """

    may_change: bool
    is_good: bool = False
    _refusal: Response | None = None
    _until: float = 0.0

    def refusal(self, now: float) -> Response | None:
        """Return the refusal of the last minute, if there was one."""
        return self._refusal if now < self._until else None

    def learn(self, reply: Reply, now: float) -> None:
        """Take note of what came to a request that proves itself by this sign-in."""
        match reply:
            case Response(status=401, is_repeated=False) if not self.is_good:
                self._refusal, self._until = replace(reply, is_repeated=True), now + _REMEMBERED
            case Response(status=status) if status < 500 and status not in (401, 429):
                self.is_good = not self.may_change


_standings: dict[Identity, Standing] = {}


def standing_of(settings: Settings) -> Standing:
    """Return what is known of a sign-in."""
    known = identity(settings)
    if known not in _standings:
        _standings[known] = Standing(may_change=not isinstance(settings.credentials, AccessKey))
    return _standings[known]

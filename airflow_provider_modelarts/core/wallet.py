"""The credentials that were obtained in this process: all who sign in alike share one."""

from __future__ import annotations

from typing import TypeAlias

from airflow_provider_modelarts.core.settings import Settings
from airflow_provider_modelarts.core.sign_in import Credential, Issued, SignIn

#: Who signs in, where, and for which project.
Identity: TypeAlias = tuple[SignIn, str, str, str]

_held: dict[Identity, Issued] = {}


def identity(settings: Settings) -> Identity:
    """Return under what is kept what is known of a sign-in."""
    iam = settings.base_url("iam") if settings.region or settings.iam_endpoint else ""
    return settings.sign_in, iam, settings.base_url("modelarts"), settings.project_id or settings.region or ""


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

"""How the platform takes a sign-in, as far as this process has seen.

Five bad signatures in a row lock a key for all who use it, and IAM locks its users in the same way. So what was
refused is not sent again for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_modelarts.core.answers import Answer
from airflow_provider_modelarts.core.exchange import Reply
from airflow_provider_modelarts.core.settings import Settings
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.core.wallet import Identity, identity

_REMEMBERED = 60.0  # seconds


@dataclass(slots=True)
class Standing:
    """How the platform takes one sign-in; times are seconds since the epoch.

    :param may_change: what was good once may be bad later: so is a password, but not a secret access key.
    """

    may_change: bool
    is_good: bool = False
    _refusal: Answer | None = None
    _until: float = 0.0

    def refusal(self, now: float) -> Answer | None:
        """Return the refusal of the last minute, if there was one."""
        return self._refusal if now < self._until else None

    def learn(self, reply: Reply, now: float) -> None:
        """Take note of what came to a request that proves itself by this sign-in."""
        match reply:
            case Answer(status=401, is_repeated=False) if not self.is_good:
                self._refusal, self._until = replace(reply, is_repeated=True), now + _REMEMBERED
            case Answer(status=status) if status < 500 and status not in (401, 429):
                self.is_good = not self.may_change


_standings: dict[Identity, Standing] = {}


def standing_of(settings: Settings) -> Standing:
    """Return what is known of a sign-in."""
    known = identity(settings)
    if known not in _standings:
        _standings[known] = Standing(may_change=not isinstance(settings.sign_in, AccessKey))
    return _standings[known]

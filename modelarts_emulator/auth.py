"""Authentication: IAM tokens, temporary keys, and the gateway's check of each request."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelarts_emulator.errors import Refusal, bad_credentials
from modelarts_emulator.json_values import JSON, child, text
from modelarts_emulator.signing import DATE_FORMAT, DATE_HEADER, Authorization, ReceivedRequest, expected_signature

Clock = Callable[[], float]

#: Tolerance for the date of a signature, in the gateway's documents.
MAX_SKEW_SECONDS = 15 * 60
#: Bad signatures in a row that lock a key, and for how long; from the same documents.
MAX_BAD_SIGNATURES = 5
LOCK_SECONDS = 5 * 60
#: Lifetime of tokens and temporary keys.
DAY_SECONDS = 24 * 3600.0

_TOKEN_HEADER = "x-auth-token"  # noqa: S105 - a name
_SECURITY_TOKEN_HEADER = "x-security-token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key; temporary if it has a security token. Its repr hides secrets."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """An IAM user of an account. Its repr hides the password."""

    name: str
    password: str = field(repr=False)
    domain_name: str


#: Default access key. Only emulators accept it.
DEMO_KEY = AccessKey("EMULATORACCESSKEY000", "emulatorSecretKey00000000000000000000000")
#: Default IAM user. Only emulators accept it.
DEMO_USER = User("emulator-user", "emulatorPassword00000", "emulator-account")


@dataclass(slots=True)
class Iam:
    """IAM and metadata service of one account with one user and one agency.

    :param lifetime: seconds for which tokens and temporary keys are valid.
    :param hop_tokens: whether the metadata service requires its own token, as version 2 does.
    """

    clock: Clock
    region: str
    project_id: str
    user: User = DEMO_USER
    lifetime: float = DAY_SECONDS
    hop_tokens: bool = True
    _tokens: dict[str, float] = field(default_factory=dict, repr=False)
    _keys: dict[str, tuple[AccessKey, float]] = field(default_factory=dict, repr=False)
    _hop_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def create_token(self, body: JSON) -> tuple[str, JSON]:
        """Return a token and the body of KeystoneCreateUserTokenByPassword.

        :raises Refusal: for a wrong user, password or project.
        """
        user = child(body, "auth", "identity", "password", "user")
        given = User(text(child(user, "name")), text(child(user, "password")), text(child(user, "domain", "name")))
        if given != self.user:
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
                "user": {"name": self.user.name, "domain": {"name": self.user.domain_name}},
            }
        }

    def check_token(self, token: str) -> None:
        """Refuse a token that is unknown, revoked or expired."""
        expires_at = self._tokens.get(token)
        if expires_at is None:
            raise bad_credentials("decrypt token fail")
        if self.clock() >= expires_at:
            raise Refusal(401, "APIGW.0307", "The token must be updated.")

    def revoke(self) -> None:
        """Revoke all tokens and temporary keys, as a change of password or permissions does."""
        self._tokens.clear()
        self._keys.clear()

    def hop_token(self) -> str:
        """Return the token that the metadata service requires, or refuse if ``hop_tokens`` is off."""
        if not self.hop_tokens:
            raise Refusal(404, "404", "Not Found")
        return self._hop_token

    def create_agency_key(self, hop_token: str | None) -> JSON:
        """Return a temporary key of the agency, or refuse a request without the metadata service's token."""
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
        """Return the valid temporary key of an id, or None."""
        key, expires_at = self._keys.get(access_key, (None, 0.0))
        return key if self.clock() < expires_at else None


class Authenticator:
    """The gateway's check of signatures and tokens.

    It accepts one access key, the temporary keys of the agency, and IAM tokens. Five bad signatures in a row lock the
    access key for five minutes; a good one resets the count.
    """

    def __init__(self, key: AccessKey, clock: Clock, iam: Iam) -> None:
        self._key = key
        self._clock = clock
        self._iam = iam
        self._bad_signatures = 0
        self._locked_until = 0.0

    def authenticate(self, request: ReceivedRequest) -> None:
        """Raise the gateway's refusal unless the request has a valid token or signature."""
        if _TOKEN_HEADER in request.headers:
            self._iam.check_token(request.headers[_TOKEN_HEADER])
            return
        authorization = _authorization(request)
        key = self._key_of(authorization.access_key)
        self._check_lock()
        self._check_date(request.headers[DATE_HEADER])
        self._check_security_token(request, authorization, key)
        self._check_signature(request, authorization, key)

    def _key_of(self, access_key: str) -> AccessKey:
        key = self._key if access_key == self._key.access_key else self._iam.agency_key(access_key)
        if key is None:
            raise bad_credentials(f"ak {access_key} not exist")
        return key

    def _check_lock(self) -> None:
        if self._clock() < self._locked_until:
            raise bad_credentials("AK access failed to reach the limit, forbidden")

    def _check_date(self, date: str) -> None:
        try:
            signed_at = datetime.strptime(date, DATE_FORMAT).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise bad_credentials("x-sdk-date format error") from None
        if abs(self._clock() - signed_at) > MAX_SKEW_SECONDS:
            raise bad_credentials("signature expired")

    def _check_security_token(self, request: ReceivedRequest, authorization: Authorization, key: AccessKey) -> None:
        token = request.headers.get(_SECURITY_TOKEN_HEADER)
        if token is None and key.security_token is None:
            return
        if token is None:
            raise bad_credentials("x-security-token not found")
        if not _is_equal(token, key.security_token or ""):
            raise bad_credentials("decrypt token fail")
        if _SECURITY_TOKEN_HEADER not in authorization.signed_headers:
            raise self._bad_signature()

    def _check_signature(self, request: ReceivedRequest, authorization: Authorization, key: AccessKey) -> None:
        expected = expected_signature(request, authorization.signed_headers, key.secret_key)
        if not _is_equal(authorization.signature, expected):
            raise self._bad_signature()
        self._bad_signatures = 0

    def _bad_signature(self) -> Refusal:
        self._bad_signatures += 1
        if self._bad_signatures >= MAX_BAD_SIGNATURES:
            self._bad_signatures = 0
            self._locked_until = self._clock() + LOCK_SECONDS
        return bad_credentials("verify aksk signature fail")


def _authorization(request: ReceivedRequest) -> Authorization:
    """Return the parsed ``Authorization`` header, or refuse a request in which a signed header is missing."""
    header = request.headers.get("authorization")
    if header is None:
        raise bad_credentials("x-auth-token not found")
    authorization = Authorization.parse(header)
    if authorization is None:
        raise bad_credentials("authorization header format error")
    for name in ("host", DATE_HEADER, *authorization.signed_headers):
        if name not in request.headers or name not in authorization.signed_headers:
            raise bad_credentials(f"signed header {name} not found")
    return authorization


def _is_equal(received: str, expected: str) -> bool:
    return hmac.compare_digest(received.encode(errors="surrogateescape"), expected.encode())


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Who is calling: a credential in, a name and what it may see out. It does not know headers.

Three kinds of credential are let in: keys that the service was started with, keys in its store (`tinker-hl keys`), and
short-lived tokens that were got with one of them. A service that anyone on this machine may use has neither, and calls
everybody `local`; it is locked for good by its first key.
"""

from typing import Any

import attrs

from tinker_local.clock import Clock
from tinker_local.errors import ApiError
from tinker_local.keys import KeyRing, digest_of
from tinker_local.settings import Settings
from tinker_local.store.keys import KeyRecord, KeyRecords
from tinker_local.store.records import Records
from tinker_local.tokens import PREFIX, InvalidTokenError, issued, read

__all__ = ["LOCAL", "Caller", "Callers"]

LOCAL = "local"
_ISSUER = "tinker-hl"
_FRESH_SECONDS = 1.0
"""How long a key that was just looked up is taken for known: so late may a revocation from the command line be."""
_MOST_REMEMBERED = 1024


@attrs.frozen
class Caller:
    """Somebody who was let in."""

    owner: str
    """The name under which what they make is owned."""
    key: KeyRecord | None = None
    """Their key, where it is one of the store's."""
    by_token: bool = False
    """Whether they sent a token, and not a key."""

    @property
    def sees_all(self) -> bool:
        """Whether they may see and manage what others own."""
        return self.key is not None and self.key.scope == "all"


class Callers:
    """Everybody who may come in."""

    def __init__(
        self, settings: Settings, records: Records, clock: Clock, *, salt: bytes, token_secret: bytes, local: bool
    ) -> None:
        """`local`: only this machine can reach the service, so that it may do without keys."""
        self.records = KeyRecords(records.database)
        self._database = records.database
        self._ring = KeyRing(settings.api_keys, salt)
        self._salt = salt
        self._token_secret = token_secret
        self._token_seconds = settings.token_lifetime_seconds
        self._clock = clock
        self._local = local
        self._remembered: dict[bytes | int, tuple[float, KeyRecord]] = {}
        self._locked = False
        self._looked_at = -_FRESH_SECONDS

    def caller(self, credential: str) -> Caller:
        """Who sends this credential; empty for none. Raises `ApiError` 401."""
        if credential.startswith(PREFIX):
            return self._of_token(credential)
        owner = self._ring.owner(credential) if credential else None
        if owner is not None:
            return Caller(owner)
        record = self._fresh(digest_of(credential, self._salt)) if credential else None
        if record is not None and record.revoked_at is None:
            return Caller(record.name, record)
        if self.locked or record is not None:
            raise _refused("the X-API-Key header is missing" if not credential else "the key is not known here")
        return Caller(LOCAL)

    @property
    def locked(self) -> bool:
        """Whether a key is needed: where the service was given one, or has ever had one, or others can reach it."""
        if not self._locked:
            if len(self._ring) or not self._local:
                self._locked = True
            elif self._clock.monotonic() - self._looked_at >= _FRESH_SECONDS:
                self._looked_at = self._clock.monotonic()
                self._locked = self.records.any()
        return self._locked

    def token(self, caller: Caller) -> str:
        """A token that says who this caller is, for a while. Raises `ApiError` 403 for one who came with a token."""
        if caller.by_token:
            raise ApiError(403, "key_needed", "a token cannot be exchanged for another one; send the key itself")
        now = int(self._clock.wall())
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "sub": f"tml:user:{caller.owner}",
            "org_id": LOCAL,
            "email": f"{caller.owner}@localhost",
            "iat": now,
            "exp": now + int(self._token_seconds),
            "owner": caller.owner,
            "key_id": None if caller.key is None else caller.key.key_id,
        }
        return issued(claims, self._token_secret)

    async def revoke(self, record: KeyRecord) -> None:
        """From now on the key and its tokens are refused."""
        await self._database.write(self.records.revoke(record.key_id, self._clock.wall()))
        self._remembered.clear()

    def _of_token(self, token: str) -> Caller:
        try:
            claims = read(token, self._token_secret, now=self._clock.wall())
        except InvalidTokenError as error:
            raise _refused(str(error), invalid_token=True) from None
        owner, key_id = claims["owner"], claims["key_id"]
        if key_id is None:
            if self._ring.has_owner(owner) or (owner == LOCAL and not self.locked):
                return Caller(owner, by_token=True)
        else:
            record = self._fresh(key_id)
            if record is not None and record.revoked_at is None:
                return Caller(record.name, record, by_token=True)
        raise _refused("the key that this token was got with is let in no more")

    def _fresh(self, which: bytes | int) -> KeyRecord | None:
        now = self._clock.monotonic()
        until, record = self._remembered.get(which, (now, None))
        if now < until:
            return record
        record = self.records.by_id(which) if isinstance(which, int) else self.records.by_digest(which)
        if record is not None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[which] = (now + _FRESH_SECONDS, record)
        return record


def _refused(problem: str, *, invalid_token: bool = False) -> ApiError:
    """401. Clients get a new token, once, where the header says that the token is at fault."""
    challenge = 'Bearer error="invalid_token"' if invalid_token else "ApiKey"
    return ApiError(401, "unauthorized", problem, {"WWW-Authenticate": challenge})

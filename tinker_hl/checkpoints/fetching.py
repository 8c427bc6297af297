"""One file behind a signed link, streamed to disk; a cut is gone on after, in this process or in a later one.

Two files are kept meanwhile: the part that is there, and beside it `<name>.json` with what tells whether the server
still has the same file (its validator), the whole size, and the hash that the server promised. A part is gone on with
only where the server says by its validator that nothing changed (`If-Range`, RFC 9110 section 13.1.5); else it begins
anew. The link is signed, so no key is sent, and it may hold a signature, so it is never shown. Knows no checkpoints.
"""

import contextlib
import errno
import json
import re
import string
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import attrs

from tinker_hl.checkpoints.checksums import promised_sha256, sha256_of
from tinker_hl.checkpoints.disk import check_room
from tinker_hl.checkpoints.errors import ArchiveError, ChecksumError, DiskSpaceError
from tinker_hl.checkpoints.patience import Patience
from tinker_hl.errors import APIConnectionError, APITimeoutError, TinkerError
from tinker_hl.retry import named_wait, status_is_retryable
from tinker_hl.version import __version__

__all__ = ["Fetch", "Fetched"]

PIECE: Final = 256 * 1024
SILENCE_SECONDS: Final = 60.0
"""How long the connection may be silent."""
RENEWED: Final = frozenset({401, 403, 404, 410})
"""Answers of a link that has expired; a new one is asked for."""
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@attrs.frozen(kw_only=True)
class Fetched:
    """A file that arrived whole."""

    path: Path
    size: int
    sha256: str
    """In hexadecimal."""
    resumed_from: int
    """Bytes that were there before, from a fetch that was cut in another call."""
    promised: bool
    """Whether the server named the hash, and it was this one."""


@attrs.frozen(kw_only=True)
class _Known:
    """What is kept beside a part."""

    validator: str | None = None
    size: int | None = None
    sha256: str | None = None


@attrs.define(kw_only=True)
class Fetch:
    """One file on its way. `run` brings it.

    Args:
        link: The address; asked for anew when it has expired.
        target: Where the part grows, and the whole file is in the end.
        patience: Waits after failures.
        deadline: On the clock of `time.monotonic`, in seconds.
        max_bytes: More are refused.
        progress: Told the bytes that are there, and all there will be, or None where the server does not say.
        room_factor: Room on the disk that is asked for, in sizes of the file.
    """

    link: Callable[[], str]
    target: Path
    patience: Patience
    deadline: float
    max_bytes: int
    progress: Callable[[int, int | None], None]
    room_factor: int = 1
    _known: _Known = attrs.field(factory=_Known, init=False)
    _url: str | None = attrs.field(default=None, init=False)
    _renewals: int = attrs.field(default=0, init=False)

    def run(self) -> Fetched:
        """Bring the file.

        Raises:
            APITimeoutError: The time was up, or the server was silent. The part is kept.
            APIConnectionError: It did not arrive, and trying again did not help. The part is kept.
            ArchiveError: It is larger than `max_bytes`. Nothing is kept.
            ChecksumError: It is not what the server promised. Nothing is kept.
            DiskSpaceError: There is no room for it.
        """
        self._known = self._recall()
        began_at = self._have
        while not self._whole():
            before = self._have
            failure = self._attempt()
            if failure is None:
                continue
            if self._have > before:
                self.patience.moved()
                self._renewals = 0
            if not self.patience.wait():
                raise failure
        digest = sha256_of(self.target)
        if self._known.sha256 not in (None, digest):
            self._forget()
            raise ChecksumError(
                f"what {self._where} sent has the SHA-256 {digest}, and {self._known.sha256} was promised",
                hint="download it again; if that does not help, the file is damaged where it is stored",
            )
        promised = self._known.sha256 is not None
        return Fetched(
            path=self.target, size=self._have, sha256=digest, resumed_from=min(began_at, self._have), promised=promised
        )

    @property
    def _have(self) -> int:
        return self.target.stat().st_size if self.target.exists() else 0

    @property
    def _notes(self) -> Path:
        return self.target.with_name(self.target.name + ".json")

    @property
    def _where(self) -> str:
        parts = urlsplit(self._url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _whole(self) -> bool:
        return self._known.size is not None and self._have == self._known.size

    def _attempt(self) -> "TinkerError | None":
        """One request; the error, if another may help."""
        if time.monotonic() > self.deadline:
            raise APITimeoutError(message=f"{self._have} bytes of a checkpoint arrived, then the time was up")
        if self._url is None:
            self._url = _checked(self.link())
        have = self._have if self._known.validator else 0
        headers = {"Accept-Encoding": "identity", "User-Agent": f"tinker-hl/{__version__}"}
        if have and self._known.validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": self._known.validator}
        try:
            with _opener.open(Request(self._url, headers=headers), timeout=SILENCE_SECONDS) as answer:
                return self._receive(answer, have)
        except HTTPError as error:
            with contextlib.closing(error):
                return self._refused(error)
        except TimeoutError:
            return APITimeoutError(message=f"{self._where} was silent for {SILENCE_SECONDS:g} s")
        except (URLError, HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskSpaceError(f"the disk of {self.target.parent} became full", hint="make room") from error
            if isinstance(error, OSError) and error.filename is not None:
                raise  # of this machine's disk, not of the network
            return self._lost(str(error))

    def _receive(self, answer: HTTPResponse, have: int) -> "TinkerError | None":
        headers = {name.lower(): value for name, value in answer.headers.items()}
        begin, size = self._placed(answer.status, headers, have)
        if size is not None and size > self.max_bytes:
            self._forget()
            raise self._too_large()
        if begin == 0:
            self._known = _Known(validator=_validator(headers), size=size, sha256=promised_sha256(headers))
        self._remember()
        check_room(self.target.parent, self.room_factor * (size or 0) - begin)
        with self.target.open("r+b" if begin else "wb") as file:
            file.truncate(begin)
            file.seek(begin)
            self._copy(answer, file, begin, size)
        if size is None:
            # Sent without a length: the end of the answer is the end of the file, if the connection says so.
            self._known = attrs.evolve(self._known, size=self._have)
            self._remember()
        return None if self._whole() else self._lost(f"it sent {self._have} of {size} bytes")

    def _placed(self, status: int, headers: Mapping[str, str], have: int) -> tuple[int, int | None]:
        """Where the bytes of this answer begin, and how long the whole file is."""
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if status == 206 and found and found[1] is not None:
            if int(found[1]) == have and (self._known.size in (None, int(found[3]))):
                return have, int(found[3])
            self._forget()
            raise HTTPException("it answered with another part than the one that was asked for")
        if status != 200:
            raise HTTPException(f"it answered with status {status}")
        length = headers.get("content-length", "")
        return 0, int(length) if length.isdecimal() else None

    def _copy(self, answer: HTTPResponse, file: IO[bytes], have: int, size: int | None) -> None:
        self.progress(have, size)
        while piece := answer.read1(PIECE):
            have += len(piece)
            if have > self.max_bytes:
                self._forget()
                raise self._too_large()
            file.write(piece)
            self.progress(have, size)
            if time.monotonic() > self.deadline:
                raise APITimeoutError(message=f"{self._where} sent {have} bytes of a checkpoint, then the time was up")

    def _refused(self, error: HTTPError) -> TinkerError:
        """What an answer other than success means; raised if trying again cannot help."""
        headers = {name.lower(): value for name, value in error.headers.items()}
        failure = self._lost(f"status {error.code}")
        if error.code == 416:
            self._forget()  # the part is longer than the file: it is another file now
            return failure
        if error.code in RENEWED and self._renewals < 2:
            self._renewals += 1
            self._url = None
            return failure
        if not status_is_retryable(error.code, headers):
            raise failure from None  # the original may show the address, signature and all
        named = named_wait(headers)
        if named is not None:
            self.patience.named = named
        return failure

    def _lost(self, why: str) -> APIConnectionError:
        return APIConnectionError(message=f"a checkpoint could not be fetched from {self._where}: {why}")

    def _too_large(self) -> ArchiveError:
        return ArchiveError(f"the file is larger than the limit of {self.max_bytes} bytes", hint="raise max_bytes")

    def _recall(self) -> _Known:
        """What an earlier fetch noted; without its notes, or without a validator, its part is worth nothing."""
        try:
            noted: Any = json.loads(self._notes.read_text(encoding="utf-8"))
            known = _Known(**noted)
        except (OSError, ValueError, TypeError):
            known = _Known()
        if known.validator is None:
            self._forget()
            return _Known()
        return known

    def _remember(self) -> None:
        aside = self._notes.with_name(self._notes.name + ".new")
        aside.write_text(json.dumps(attrs.asdict(self._known)), encoding="utf-8")
        aside.replace(self._notes)

    def _forget(self) -> None:
        self._known = _Known()
        self.target.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


class _SameSchemes(HTTPRedirectHandler):
    """Follows redirects to http and https alone."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        return super().redirect_request(req, fp, code, msg, headers, _checked(newurl))


_opener = build_opener(_SameSchemes)


def _checked(url: str) -> str:
    """An address of the right kind, with what none may hold (spaces, letters beyond ASCII) escaped.

    It is in no error, since it may hold a signature; those of the HTTP library would show it.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise ArchiveError("the service answered with an address that is none") from None
    if scheme not in ("http", "https"):
        raise ArchiveError(f"the service answered with a {scheme or 'relative'} address, not http or https")
    return quote(url, safe=string.punctuation)


def _validator(headers: Mapping[str, str]) -> str | None:
    """What tells one version of a file from another: a strong ETag, or else the time of the last change."""
    tag = headers.get("etag", "")
    return tag if tag.startswith('"') else headers.get("last-modified")

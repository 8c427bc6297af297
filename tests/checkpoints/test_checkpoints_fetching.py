"""One file from servers of many kinds; S4-13."""

import base64
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, refuses, sends, serving

from tinker_hl.checkpoints import ArchiveError, ChecksumError
from tinker_hl.checkpoints.checksums import promised_sha256
from tinker_hl.checkpoints.fetching import Fetch, Fetched
from tinker_hl.checkpoints.patience import Patience
from tinker_hl.connection import Connection
from tinker_hl.errors import APIConnectionError, APITimeoutError
from tinker_hl.retry import InstantClock

BODY = bytes(range(256)) * 400
DIGEST = hashlib.sha256(BODY).hexdigest()
TAG = {"ETag": '"one"'}


def digest_header(body: bytes) -> dict[str, str]:
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"}


def part(begin: int, end: int, **headers: str) -> Any:
    more = {"Content-Range": f"bytes {begin}-{end - 1}/{len(BODY)}", **TAG, **headers}
    return sends(BODY[begin:end], status=206, headers=more)


@pytest.fixture
def clock() -> InstantClock:
    return InstantClock()


@pytest.fixture
def connection(clock: InstantClock) -> Connection:
    return Connection("http://127.0.0.1:9", "tml-key", clock=clock)


Run = Callable[..., Fetched]


@pytest.fixture
def run(connection: Connection, tmp_path: Path) -> Run:
    def fetch(server: FileServer, *urls: str, **more: Any) -> Fetched:
        links = iter([*urls])
        arguments: dict[str, Any] = {
            "link": lambda: next(links, server.url),
            "target": tmp_path / "part",
            "patience": Patience(connection),
            "deadline": time.monotonic() + 30,
            "max_bytes": 1 << 30,
            "progress": lambda have, size: None,
        }
        return Fetch(**(arguments | more)).run()

    return fetch


def test_the_hash_that_the_server_names_is_verified(run: Run) -> None:
    with serving(sends(BODY, headers=digest_header(BODY))) as server:
        done = run(server)
    assert done.promised
    assert done.sha256 == DIGEST


@pytest.mark.parametrize("odd", ["/a b?signature=secret", "/ä?signature=secret", "/a\nb?signature=secret"])
def test_what_no_address_may_hold_is_escaped(run: Run, odd: str) -> None:
    with serving(sends(BODY)) as server:
        assert run(server, server.url.partition("/a")[0] + odd).sha256 == DIGEST


def test_an_address_that_is_none_is_not_shown(run: Run) -> None:
    with serving(sends(BODY)) as server, pytest.raises(ArchiveError) as caught:
        run(server, "http://[broken/a?signature=secret")
    assert "secret" not in str(caught.value)


def test_bytes_with_another_hash_are_not_kept(run: Run, tmp_path: Path) -> None:
    with serving(sends(BODY, headers=digest_header(BODY + b"x") | TAG)) as server, pytest.raises(ChecksumError) as e:
        run(server)
    assert "secret" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (digest_header(BODY), True),
        ({"Digest": f"md5=xx,SHA-256={base64.b64encode(hashlib.sha256(BODY).digest()).decode()}"}, True),
        ({"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(BODY).digest()).decode()}, True),
        ({"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(BODY).digest()).decode() + "-3"}, False),
        ({"Repr-Digest": "sha-512=:AAAA:"}, False),
        ({"Repr-Digest": "sha-256=:AAAA:"}, False),
        ({}, False),
    ],
)
def test_where_a_hash_is_named(headers: dict[str, str], found: bool) -> None:
    lower = {name.lower(): value for name, value in headers.items()}
    assert promised_sha256(lower) == (DIGEST if found else None)


def test_a_link_that_has_expired_is_asked_for_anew(run: Run) -> None:
    """And the part that is there is gone on with."""
    answers = [sends(BODY[:1000], promised=len(BODY), headers=TAG), refuses(403), part(1000, len(BODY))]
    with serving(*answers) as server:
        asked: list[str] = []

        def link() -> str:
            asked.append(server.url)
            return server.url

        assert run(server, link=link).sha256 == DIGEST
    assert len(asked) == 2
    assert server.seen[-1]["range"] == "bytes=1000-"


def test_a_link_that_is_refused_again_and_again_ends_in_a_typed_error(run: Run) -> None:
    with serving(refuses(403)) as server, pytest.raises(APIConnectionError, match="403"):
        run(server)
    assert len(server.seen) == 3


def test_what_helps_no_more_is_told_at_once(run: Run) -> None:
    with serving(refuses(400)) as server, pytest.raises(APIConnectionError, match="400"):
        run(server)
    assert len(server.seen) == 1


def test_a_server_that_is_busy_is_waited_for_as_long_as_it_says(run: Run, clock: InstantClock) -> None:
    with serving(refuses(503, Retry_After="7"), sends(BODY)) as server:
        assert run(server).sha256 == DIGEST
    assert 7 <= sum(clock.slept) <= 7.7


def test_a_server_that_fails_for_ever_is_given_up(run: Run, clock: InstantClock) -> None:
    with serving(refuses(500)) as server, pytest.raises(APIConnectionError, match="500"):
        run(server)
    assert sum(clock.slept) <= 300


def test_a_server_that_ignores_ranges_begins_anew(run: Run) -> None:
    with serving(sends(BODY[:1000], promised=len(BODY), headers=TAG), sends(BODY, headers=TAG)) as server:
        assert run(server).sha256 == DIGEST
    assert server.seen[1]["if-range"] == '"one"'


def test_without_a_validator_nothing_is_gone_on_with(run: Run) -> None:
    """The bytes could be another file's."""
    with serving(sends(BODY[:1000], promised=len(BODY)), sends(BODY)) as server:
        assert run(server).sha256 == DIGEST
    assert "range" not in server.seen[1]


def test_a_weak_validator_is_none(run: Run) -> None:
    weak = {"ETag": 'W/"one"'}
    with serving(sends(BODY[:1000], promised=len(BODY), headers=weak), sends(BODY)) as server:
        assert run(server).sha256 == DIGEST
    assert "range" not in server.seen[1]


def test_another_part_than_the_one_asked_for_is_not_glued_on(run: Run) -> None:
    cut = sends(BODY[:1000], promised=len(BODY), headers=TAG)
    with serving(cut, part(500, len(BODY)), sends(BODY, headers=TAG)) as server:
        assert run(server).sha256 == DIGEST
    assert "range" not in server.seen[2]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(run: Run) -> None:
    cut = sends(BODY[:1000], promised=len(BODY), headers=TAG)
    with serving(cut, refuses(416, Content_Range="bytes */10"), sends(b"0123456789")) as server:
        assert run(server).size == 10


def test_a_file_of_no_bytes(run: Run) -> None:
    with serving(sends(b"")) as server:
        assert run(server).size == 0


def test_a_redirect_may_not_lead_out_of_the_web(run: Run) -> None:
    with serving(refuses(302, Location="file:///etc/passwd")) as server, pytest.raises(APIConnectionError, match="302"):
        run(server)
    with serving(refuses(302, Location="ftp://127.0.0.1/a")) as server:
        with pytest.raises(ArchiveError, match="ftp address"):
            run(server)
        with pytest.raises(ArchiveError, match="file address"):
            run(server, "file:///etc/passwd")
        with pytest.raises(ArchiveError, match="relative address"):
            run(server, "/etc/passwd")


def test_the_time_is_limited(run: Run) -> None:
    with serving(sends(BODY)) as server, pytest.raises(APITimeoutError, match="time was up"):
        run(server, deadline=time.monotonic() - 1)


def test_a_file_beyond_the_limit_is_not_kept(run: Run, tmp_path: Path) -> None:
    with serving(sends(BODY, headers=TAG)) as server, pytest.raises(ArchiveError, match="limit of 10 bytes"):
        run(server, max_bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_notes_that_are_spoilt_are_no_notes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"old")
    (tmp_path / "part.json").write_text('{"validator": 1, "unknown": 2}')
    with serving(sends(BODY, headers=TAG)) as server:
        assert run(server).sha256 == DIGEST
    assert "range" not in server.seen[0]

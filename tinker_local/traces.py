"""A session's timeline as a file that https://ui.perfetto.dev shows: Chrome's JSON trace events.

Requests and the engine's calls overlap, so they are pairs of asynchronous events on a track for each model or sampler;
what the client reported stands beside them as instants. A file is written aside, offered for an hour, then deleted.
"""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import orjson

from tinker_local.clock import Clock
from tinker_local.timeline import Step

__all__ = ["LIFETIME_SECONDS", "Traces", "trace_events"]

LIFETIME_SECONDS = 3600.0
_SERVICE, _ENGINE, _CLIENT = 1, 2, 3
_PROCESSES = {_SERVICE: "requests", _ENGINE: "engine", _CLIENT: "client reports"}


@attrs.frozen
class _File:
    path: Path
    made_at: float


class Traces:
    """The exports of one service. Those of an earlier start are deleted."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[Path]] = {}
        self._files: list[_File] = []
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)

    async def export(
        self, session_id: str, steps: Sequence[Step], reports: Sequence[bytes], wait: float
    ) -> Path | None:
        """The session's file, or None if it is not written after `wait` seconds; then ask again.

        Raises:
            OSError: it could not be written; asking again tries again.
        """
        task = self._under_way.get(session_id)
        if task is None:
            task = asyncio.create_task(self._written(steps, reports))
            self._under_way[session_id] = task
        await asyncio.wait([task], timeout=wait)
        if not task.done():
            return None
        del self._under_way[session_id]
        path = task.result()
        self._files.append(_File(path, self._clock.wall()))
        return path

    def at(self, name: str) -> Path | None:
        """A file that is offered."""
        return next((file.path for file in self._files if file.path.name == name), None)

    def delete_old(self) -> None:
        """Those whose links have ended."""
        before = self._clock.wall() - LIFETIME_SECONDS
        old = [file for file in self._files if file.made_at <= before]
        self._files = [file for file in self._files if file.made_at > before]
        for file in old:
            file.path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Give up what is being written."""
        for task in self._under_way.values():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task

    async def _written(self, steps: Sequence[Step], reports: Sequence[bytes]) -> Path:
        path = self._directory / f"{uuid.uuid4().hex}.json"
        now = self._clock.wall()
        # Copies, made here: the steps go on changing while a thread writes them.
        steps = [attrs.evolve(step, engine=list(step.engine)) for step in steps]

        def write() -> None:
            content = {"traceEvents": list(trace_events(steps, reports, now)), "displayTimeUnit": "ms"}
            path.write_bytes(orjson.dumps(content))

        await asyncio.to_thread(write)
        return path


def trace_events(steps: Sequence[Step], reports: Sequence[bytes], now: float) -> Iterator[dict[str, Any]]:
    """The events of a trace. What is not done yet ends now, and says so."""
    for process, name in _PROCESSES.items():
        yield _named("process_name", process, 0, name)
    tracks = {track: number for number, track in enumerate(dict.fromkeys(step.track for step in steps), start=1)}
    for track, number in tracks.items():
        for process in (_SERVICE, _ENGINE):
            yield _named("thread_name", process, number, track)
    for step in steps:
        yield from _of_step(step, tracks[step.track], now)
    for report in reports:
        yield from _of_report(orjson.loads(report))


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _of_step(step: Step, thread: int, now: float) -> Iterator[dict[str, Any]]:
    ended_at = now if step.ended_at is None else step.ended_at
    outcome = "unfinished" if step.ended_at is None else "failed" if step.failed else "done"
    place = {"pid": _SERVICE, "tid": thread, "cat": "request", "id": step.request_id}
    details = {"request_id": step.request_id, "outcome": outcome}
    began_at = ended_at if step.began_at is None else step.began_at
    yield {**place, "ph": "b", "name": step.operation, "ts": _micros(step.accepted_at), "args": details}
    yield from _pair(place, "queued", step.accepted_at, began_at)
    if step.began_at is not None:
        yield from _pair(place, "running", began_at, ended_at)
    yield {**place, "ph": "e", "name": step.operation, "ts": _micros(ended_at)}
    place = {**place, "pid": _ENGINE, "cat": "engine"}
    for time in step.engine:
        args = {"request_id": step.request_id, "busy_seconds": time.busy_seconds}
        yield from _pair(place, time.method, time.began_at, time.ended_at, args)


def _pair(
    place: dict[str, Any], name: str, begin: float, end: float, args: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    yield {**place, "ph": "b", "name": name, "ts": _micros(begin), "args": args or {}}
    yield {**place, "ph": "e", "name": name, "ts": _micros(end)}


def _of_report(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in body["events"]:
        with contextlib.suppress(ValueError):  # a client's clock may tell a moment that there is not
            moment = datetime.fromisoformat(event["timestamp"]).timestamp()
            name = event.get("event_name") or event["event"]
            yield {"ph": "i", "s": "p", "name": name, "pid": _CLIENT, "tid": 0, "ts": _micros(moment), "args": event}


def _micros(seconds: float) -> float:
    return round(seconds * 1e6, 1)

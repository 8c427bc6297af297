"""Results that outlive the process: written down when a promise has its answer, read again by whoever asks later.

A result may be delivered before it is on the disk: nobody waits for that. It does not know HTTP, nor who computes, nor
how rows are stored.
"""

import logging
from collections.abc import Callable
from typing import Any

import orjson

from tinker_local.engine import channel
from tinker_local.futures import Answer, Failure, JsonAnswer, Promise, SampleAnswer, TrainingAnswer
from tinker_local.store.results import Accepted, Result, Results
from tinker_local.wire.tensors import RowLayout

__all__ = ["MOST_GONE", "Keeping"]

logger = logging.getLogger(__name__)

MOST_GONE = 200_000
"""Ids that are remembered of results that are gone."""


class Keeping:
    """The results of a service's earlier lives, and those that its later ones will ask for."""

    def __init__(self, results: Results, retention: float, monotonic: Callable[[], float]) -> None:
        """`retention` is how long a result of an earlier life stays that was delivered then, or whose session is over.

        What nobody fetched stays as long as its session is open.
        """
        self._results = results
        self._retention = retention
        self._monotonic = monotonic
        self._since = monotonic()
        heads = results.heads()
        self.gone = [head.request_id for head in heads if head.gone]
        self._earlier = {head.request_id: head for head in heads if not head.gone}
        self._delivered: set[str] = set()

    def keep(self, promise: Promise) -> None:
        """A promise has its answer."""
        answer = promise.answer
        if answer is not None:
            self._results.put(lambda: _result(promise, answer))

    async def accepted(self, promise: Promise) -> None:
        """A sample was taken in. After a death of the service its client must hear that it was lost.

        Raises:
            sqlite3.Error: it could not be written down.
        """
        await self._results.accepted(
            Accepted(
                request_id=promise.request_id,
                owner=promise.owner,
                session_id=promise.session_id,
                sequence_ids=promise.sequence_ids,
                fingerprint=promise.fingerprint,
            )
        )

    def undelivered_below(self, parent: str) -> list[tuple[str, str]]:
        """Ids below a sampling session whose results were never delivered, and their owners."""
        return self._results.undelivered_below(parent)

    def recall(self, request_id: str) -> Promise | None:
        """A promise of an earlier life, with its answer; a failure if that can no longer be read."""
        if self._earlier.pop(request_id, None) is None:
            return None
        try:
            result = self._results.find(request_id)
            answer = None if result is None else _answer(result)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            logger.error("the kept result of %s cannot be read: %s", request_id, problem)
            return None
        if result is None or answer is None:
            return None
        promise = Promise(
            request_id=request_id,
            owner=result.owner,
            session_id=result.session_id,
            model_id=result.model_id,
            sequence_ids=result.sequence_ids,
            fingerprint=result.fingerprint,
            idempotency_key=result.idempotency_key,
        )
        promise.resolve(answer)
        return promise

    def unnumbered(self, model_id: str) -> tuple[int, dict[str, str]]:
        """How many requests without a number a model had, and the ids of those with an idempotency key, by it."""
        return self._results.unnumbered(model_id)

    def delivered(self, promise: Promise) -> None:
        """It is on its way to its client."""
        self._delivered.add(promise.request_id)

    def sweep(self, forgotten: list[str], is_open: Callable[[str], bool]) -> list[str]:
        """Write down what was delivered, and let go what was forgotten, or what nobody will ask for again.

        Returns:
            The ids of what went that was of an earlier life.
        """
        if self._delivered:
            self._results.delivered(self._delivered)
            self._delivered = set()
        idle: list[str] = []
        if self._monotonic() >= self._since + self._retention:
            idle = [
                head.request_id
                for head in self._earlier.values()
                if head.delivered or head.session_id is None or not is_open(head.session_id)
            ]
            for request_id in idle:
                del self._earlier[request_id]
        if forgotten or idle:
            self._results.forget([*forgotten, *idle], most_ids=MOST_GONE)
        self._results.delete_unused_files()
        return idle


def _result(promise: Promise, answer: Answer) -> Result:
    kind, body = _written(answer)
    return Result(
        request_id=promise.request_id,
        owner=promise.owner,
        session_id=promise.session_id,
        model_id=promise.model_id,
        sequence_ids=promise.sequence_ids,
        fingerprint=promise.fingerprint,
        idempotency_key=promise.idempotency_key,
        kind=kind,
        body=body,
    )


def _written(answer: Answer) -> tuple[str, bytes]:
    """A result's kind and bytes. The engine's results are kept as they came, from which each form can be made."""
    match answer:
        case TrainingAnswer(output=training):
            return "training", b"".join(channel.encode(training))
        case SampleAnswer(output=samples, sequence_ids=sequence_ids, layout=layout):
            indices = None if layout is None else [layout.crow, layout.col]
            return "sample", b"".join(channel.encode([samples, list(sequence_ids), indices]))
        case Failure(error=error, category=category):
            return "failure", orjson.dumps([error, category])
        case _:
            return "json", answer.json()


def _answer(result: Result) -> Answer:
    if result.kind == "json":
        return JsonAnswer(orjson.loads(result.body))
    if result.kind == "failure":
        return Failure(*orjson.loads(result.body))
    content = _decoded(result.body)
    if result.kind == "training":
        return TrainingAnswer(content)
    samples, sequence_ids, *more = content
    indices = next(iter(more), None)  # results of earlier releases have none
    return SampleAnswer(samples, tuple(sequence_ids), None if indices is None else RowLayout(*indices))


def _decoded(frame: bytes) -> Any:
    head = channel.PREFIX.size
    header_length, body_length = channel.lengths(frame[:head])
    if len(frame) != head + header_length + body_length:
        raise ValueError("the frame is not of the length that it says")
    return channel.decode(frame[head : head + header_length], frame[head + header_length :])

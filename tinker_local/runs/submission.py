"""Taking requests in exactly once: each one's natural key names its promise, a fingerprint tells repeat from mistake.

A repeat gets the promise that the first one got; another request under the same key is refused and changes nothing. The
natural key is the sequence id; where a client sends none it is its idempotency key, and where it sends neither, each
request is a new one.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from numpy.typing import NDArray

from tinker_local.errors import conflict
from tinker_local.futures import Futures, Promise
from tinker_local.runs.models import Model, Models
from tinker_local.runs.replay import REPLAYED
from tinker_local.scheduler import Handover, Mark, Run, Work, nothing
from tinker_local.under_way import Share
from tinker_local.wire.training import ForwardBackwardCall

__all__ = ["Intake", "fingerprint_of", "fingerprint_of_pass", "repeat"]


def fingerprint_of(operation_id: str, body: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> bytes:
    """16 bytes that are the same for the same request; null members count as absent."""
    content = {name: value for name, value in body.items() if value is not None and name not in without}
    raw = orjson.dumps([operation_id, content], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=16).digest()


def fingerprint_of_pass(call: ForwardBackwardCall) -> bytes:
    """The same for a pass, over its values: protobuf maps have no order that could be relied on."""
    digest = hashlib.blake2b(digest_size=16)
    head = [call.backward, call.loss_fn, sorted(call.loss_fn_config.items()), len(call.data)]
    digest.update(orjson.dumps(head))
    for datum in call.data:
        arrays: dict[str, NDArray[Any]] = {"tokens": datum.tokens, "target_tokens": datum.target_tokens, **datum.inputs}
        for name in sorted(arrays):
            digest.update(orjson.dumps([name, arrays[name].shape]))
            digest.update(arrays[name].tobytes())
        for image in datum.images:
            digest.update(orjson.dumps([image.start, image.length]))
            digest.update(image.data.tobytes())
    return digest.digest()


class Intake:
    """Where models' requests come in."""

    def __init__(self, futures: Futures, models: Models, monotonic: Callable[[], float], most: int) -> None:
        """`most` requests of one model may wait at once."""
        self._most = most
        self._futures = futures
        self._models = models
        self._monotonic = monotonic

    def repeated(
        self, model: Model, seq_id: int | None, fingerprint: bytes, idempotency_key: str | None
    ) -> dict[str, Any] | None:
        """The answer to a request that was taken in before; None for a new one.

        Raises:
            ApiError: 409 if the sequence id, or without one the idempotency key, was used for something else.
        """
        if REPLAYED.get() is not None:
            return None
        if seq_id is None:
            promise = self._futures.find(model.by_key.get(idempotency_key or "", ""))
            return None if promise is None else repeat(promise, fingerprint)
        request_id = f"{model.model_id}:{seq_id}"
        promise = self._futures.find(request_id)
        if promise is not None:
            return repeat(promise, fingerprint)
        if seq_id >= model.order.next_id:
            return None
        if self._futures.was(request_id):
            return {"request_id": request_id, "model_id": model.model_id}
        raise conflict(f"sequence id {seq_id} of {model.model_id} was passed over; the next is {model.order.next_id}")

    def created(self, model: Model, fingerprint: bytes) -> dict[str, Any]:
        """The answer to a repeated creation. Raises `ApiError` 409 for another one under the same number."""
        if not model.fingerprint:  # it was made before a restart
            promise = self._futures.find(_creation(model))
            if promise is not None:
                return repeat(promise, fingerprint)
            return {"request_id": _creation(model), "model_id": model.model_id}
        if model.fingerprint != fingerprint:
            raise conflict(f"{model.model_id} was made by another request; count on")
        return {"request_id": _creation(model), "model_id": model.model_id}

    def create(self, model: Model, run: Run, mark: Mark = "") -> dict[str, Any]:
        """Take a model's creation in, which comes before anything else of it."""
        promise = self._promise(model, _creation(model), model.fingerprint)
        again = REPLAYED.get() is not None
        work = Work(promise, run, lambda: self._loss_of_creation(model), mark=mark, again=again)
        model.submit(None, work, self._monotonic())
        return promise.submitted()

    def submit(
        self,
        model: Model,
        seq_id: int | None,
        fingerprint: bytes,
        run: Run,
        idempotency_key: str | None,
        mark: Mark = "",
        *,
        share: Share | None = None,
        handover: Handover | None = None,
    ) -> dict[str, Any]:
        """Take a new request in.

        Args:
            model: whose it is.
            seq_id: its number.
            fingerprint: tells its repeats from others.
            run: the work, whose first step is the engine's call.
            idempotency_key: tells its repeats where it has no number.
            mark: what the work does to the model.
            share: of the bytes under way, what the work holds.
            handover: told by a `run` that has other steps before the engine's call.
        """
        self._models.check_restored(model.model_id)
        replayed = REPLAYED.get()
        if replayed is None:
            model.check_room(self._most)
            self._futures.make_room(model.record.session_id)
        if seq_id is None:
            number = f"u{model.unnumbered + 1}" if replayed is None else replayed.request_id.rpartition(":")[2]
            model.unnumbered = max(model.unnumbered, int(number[1:]))
        else:
            number = str(seq_id)
        key = idempotency_key if seq_id is None else None
        promise = self._promise(model, f"{model.model_id}:{number}", fingerprint, key)
        if seq_id is None and idempotency_key:
            model.remember_key(idempotency_key, promise.request_id)
        work = Work(
            promise,
            self._checked(model, run),
            lambda: None if model.model_id in self._models.restoring else self._models.loss(model),
            mark=mark,
            seq_id=seq_id,
            again=replayed is not None,
            on_turn=nothing if share is None else share.go,
            handover=handover,
        )
        if share is not None:
            share.keep_until(work.on_end if promise.done else promise.on_done)
        # The order of a lost model is lost with it; each request is told so at once.
        model.submit(None if self._models.is_lost(model) else seq_id, work, self._monotonic())
        return promise.submitted()

    def _promise(
        self, model: Model, request_id: str, fingerprint: bytes, idempotency_key: str | None = None
    ) -> Promise:
        replayed = REPLAYED.get()
        if replayed is not None:
            return replayed
        return self._futures.add(
            Promise(
                request_id=request_id,
                owner=model.record.owner,
                session_id=model.record.session_id,
                model_id=model.model_id,
                fingerprint=fingerprint,
                idempotency_key=idempotency_key,
            )
        )

    def _loss_of_creation(self, model: Model) -> str | None:
        return None if model.model_id in self._models.restoring else "the engine died before this was done"

    def _checked(self, model: Model, run: Run) -> Run:
        async def checked() -> Any:
            self._models.check(model)
            return await run()

        return checked


def _creation(model: Model) -> str:
    """A creation counts as the model's request 0."""
    return f"{model.model_id}:0"


def repeat(promise: Promise, fingerprint: bytes) -> dict[str, Any]:
    """What the first submission was answered with. Raises `ApiError` 409 if this one is another."""
    if promise.fingerprint and promise.fingerprint != fingerprint:
        raise conflict(f"{promise.request_id} was used for another request; nothing was changed")
    return promise.submitted()

"""The service as an ASGI app: routes from the spec, and the same way in for every request.

    key -> parameters -> body (limits, JSON, schema, defaults) -> handler -> answer

It does not know what an operation does. An operation without a handler, or a handler without one, is an error at once.
"""

import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tinker_local import bodies, downloads, metrics
from tinker_local.auth import admitted, check_reach
from tinker_local.beside import beside
from tinker_local.callers import Caller
from tinker_local.clock import Clock
from tinker_local.direct import Direct, Endpoint, Refusal
from tinker_local.draining import begins_work
from tinker_local.engine.protocol import Engine
from tinker_local.errors import (
    ApiError,
    on_api_error,
    on_http_exception,
    on_storage_error,
    on_unexpected,
    on_wire_fault,
)
from tinker_local.handlers import HANDLERS
from tinker_local.handlers.call import LARGE, Call, Handler, Result
from tinker_local.observation import Observation
from tinker_local.runs.refusals import note_refusal
from tinker_local.service import Service
from tinker_local.settings import Settings
from tinker_local.spec import Operation, Spec, load_spec
from tinker_local.store.journal import Entry
from tinker_local.timeline import OPERATION
from tinker_local.under_way import Share
from tinker_local.validation import Validation
from tinker_local.wire.faults import WireFault

__all__ = ["create_app"]

_OPEN_TO_ALL = frozenset({"get_health"})
"""Answered without a key: whoever starts a service wants to know when it is ready."""
_NOBODY = Caller("")
_CARRY_DATA = frozenset({"forward", "forward_backward", "import_weights", "sample"})
"""Requests whose bodies may be large."""
_JOURNALLED = frozenset(
    {
        "create_model",
        "forward",
        "forward_backward",
        "load_weights",
        "optim_step",
        "save_weights",
        "save_weights_external",
        "save_weights_for_sampler",
        "unload_model",
    }
)
"""What is asked of a model in training: carried out again when the model is brought back."""
_SECRET = "weights_access_token"
"""A member of bodies that is not written down: an accepted call was let in, and nobody asks it for a token again."""


def create_app(settings: Settings, engine: Engine, *, clock: Clock | None = None) -> Starlette:
    """The service behind its routes.

    Its lifespan opens the store and begins to start the engine; the health check passes when the engine can work. While
    it runs, `app.state.service` is the `Service`.

    Args:
        settings: what was chosen.
        engine: what computes; the app starts and closes it.
        clock: the time, which tests move.

    Raises:
        ValueError: everybody could reach it and nobody would need a key, or the spec and the handlers do not match.
    """
    check_reach(settings)
    spec = load_spec()
    door = _Door(spec, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = Service(settings, engine, clock or Clock())
        app.state.service = service
        await service.start(functools.partial(door.replay, service))
        try:
            yield
        finally:
            await service.close()

    endpoints = [(operation, door.endpoint(operation, handler)) for operation, handler in _matched(spec, HANDLERS)]
    routes = [Route(operation.path, endpoint, methods=[operation.method]) for operation, endpoint in endpoints]
    refusals: Mapping[type[Exception], Refusal] = {
        ApiError: on_api_error,
        WireFault: on_wire_fault,
        HTTPException: on_http_exception,
        OSError: on_storage_error,
        sqlite3.Error: on_storage_error,
    }
    direct = {
        (operation.method, operation.path): endpoint for operation, endpoint in endpoints if "{" not in operation.path
    }
    app = Starlette(
        routes=[*routes, *downloads.ROUTES, *metrics.ROUTES],
        middleware=[Middleware(Observation), Middleware(Direct, endpoints=direct, refusals=refusals)],
        lifespan=lifespan,
        exception_handlers={**refusals, Exception: on_unexpected},
    )
    # A name that ends in a slash is an unknown name; redirecting it is an answer that the spec does not know.
    app.router.redirect_slashes = False
    return app


def _matched(spec: Spec, handlers: Mapping[str, Handler]) -> list[tuple[Operation, Handler]]:
    declared = {operation.operation_id for operation in spec.operations}
    if declared != set(handlers):
        raise ValueError(
            f"operations without a handler: {sorted(declared - set(handlers))}; "
            f"handlers without an operation: {sorted(set(handlers) - declared)}"
        )
    return [(operation, handlers[operation.operation_id]) for operation in spec.operations]


@cache
def _compiled(spec: Spec) -> Validation:
    """Compiling takes a moment, which apps of one process need not take each."""
    return Validation(spec)


class _Door:
    """The way in, the same for all operations."""

    def __init__(self, spec: Spec, settings: Settings) -> None:
        self._validation = _compiled(spec)
        self._operations = {operation.operation_id: operation for operation in spec.operations}
        self._settings = settings

    def endpoint(self, operation: Operation, handler: Handler) -> Endpoint:
        """What is called for an operation's requests."""
        begins = begins_work(operation)

        async def endpoint(request: Request) -> Response:
            service: Service = request.app.state.service
            OPERATION.set(operation.operation_id)
            caller = _NOBODY if operation.operation_id in _OPEN_TO_ALL else admitted(request, service.callers)
            if begins:
                service.draining.check_open()
            parameters: Mapping[str, Any] = {}
            if operation.parameters:
                parameters = self._validation.parameters(operation, request.path_params, request.query_params)
            share = service.under_way.share(free=0 if operation.operation_id in _CARRY_DATA else LARGE)
            raw = b""
            try:
                if operation.body is not None:
                    raw = await self._raw(request, operation, share)
                body, protobuf = await self._body(request, operation, raw)
                call = Call(
                    service=service,
                    request=request,
                    caller=caller,
                    share=share,
                    parameters=parameters,
                    body=body,
                    protobuf=protobuf,
                    size=len(raw),
                )
                result = await handler(call)
                if operation.operation_id in _JOURNALLED and isinstance(result, Mapping):
                    await service.autosaves.accepted(
                        operation.operation_id,
                        result,
                        raw if not body.get(_SECRET) else orjson.dumps({**body, _SECRET: None}),
                        protobuf=protobuf is not None,
                        idempotency_key=call.idempotency_key,
                    )
                return _answer(result)
            except (ApiError, WireFault) as problem:
                if operation.body is not None and (isinstance(problem, WireFault) or problem.final):
                    passed = note_refusal(service.models, caller.owner, raw, protobuf=_is_protobuf(request))
                    if passed is not None:
                        service.autosaves.refused(*passed)
                raise
            finally:
                share.settle()

        return endpoint

    async def replay(self, service: Service, entry: Entry, raw: bytes) -> None:
        """Take an accepted call in again, as it was sent. It was let in then, so nobody asks whether it may."""
        operation = self._operations[entry.operation]
        headers = [] if entry.idempotency_key is None else [(b"x-idempotency-key", entry.idempotency_key.encode())]
        body = {} if entry.protobuf else self._validation.body(operation, bodies.parsed(raw))
        share = service.under_way.share()
        share.take(len(raw))
        call = Call(
            service=service,
            request=Request({"type": "http", "headers": headers}),
            caller=Caller(entry.owner),
            share=share,
            parameters={},
            body=body,
            protobuf=raw if entry.protobuf else None,
            size=len(raw),
            replayed=True,
        )
        try:
            await HANDLERS[entry.operation](call)
        finally:
            share.settle()

    async def _raw(self, request: Request, operation: Operation, share: Share) -> bytes:
        most, most_inflated = self._settings.max_body_bytes, self._settings.max_inflated_bytes
        if operation.operation_id not in _CARRY_DATA:
            most = min(most, self._settings.max_small_body_bytes)
            most_inflated = min(most_inflated, self._settings.max_small_body_bytes)
        try:
            return await bodies.read(request, most, most_inflated, share)
        except ClientDisconnect:
            raise ApiError(400, "cut", "the connection ended before the body did") from None

    async def _body(self, request: Request, operation: Operation, raw: bytes) -> tuple[dict[str, Any], bytes | None]:
        if operation.body is None:
            return {}, None
        if bodies.content_type(request, operation) == bodies.PROTOBUF:
            return {}, raw
        if len(raw) < LARGE:
            return self._validation.body(operation, bodies.parsed(raw)), None
        return await beside(lambda: self._validation.body(operation, bodies.parsed(raw))), None


def _is_protobuf(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith(bodies.PROTOBUF)


def _answer(result: Result) -> Response:
    if result is None:
        return Response(status_code=204)
    if isinstance(result, Response):
        return result
    return Response(orjson.dumps(result), media_type=bodies.JSON)

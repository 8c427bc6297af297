"""Creates custom losses: traces them at the call, and uploads them to a server that runs such losses itself.

It knows nothing of how a loss is run.
"""

import logging
import re
from collections.abc import Mapping

from tinker_hl.custom_loss.graph_encoding import encode_graph
from tinker_hl.custom_loss.handle import LossHandle, PerDatumLossFn, loss_key
from tinker_hl.custom_loss.rules import Rule
from tinker_hl.custom_loss.torch_needed import require_torch
from tinker_hl.custom_loss.tracing import NAME, name_of, trace, traced_inputs
from tinker_hl.errors import APIResponseValidationError, APIStatusError, CustomLossError
from tinker_hl.futures import APIFuture
from tinker_hl.operations import create_custom_loss
from tinker_hl.poller import Promise
from tinker_hl.session import Session, json_body
from tinker_hl.types import (
    CreateCustomLossRequest,
    CreateCustomLossResponse,
    CustomLossGraph,
    CustomLossInputRank,
)

__all__ = ["CustomLosses"]

CALL = "ServiceClient.create_custom_loss"
NOT_RUN_THERE = frozenset({400, 404, 405, 422, 501})
"""Statuses by which a server says that it cannot run a loss: a function that it does not allow, no such endpoint."""


class CustomLosses:
    """The custom losses of one session.

    Invariant: of losses with one key, at most one is created or being created; one that failed may be tried again.

    Args:
        session: What they belong to.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._creations: dict[str, object] = {}

    def create(self, fn: PerDatumLossFn, input_ranks: Mapping[str, CustomLossInputRank]) -> APIFuture[LossHandle]:
        """See `ServiceClient.create_custom_loss`."""
        require_torch()
        self._session.refuse_closed()
        inputs, graph = traced_inputs(fn, input_ranks), trace(fn)
        traced = LossHandle(name=name_of(fn), inputs=inputs, session_id="", graph=graph)
        encoded = encode_graph(graph.graph)
        key = loss_key(graph, inputs)
        self._claim(key, traced.name)
        number = self._session.next_loss()
        done = []

        async def create() -> LossHandle:
            handle = await self._create(traced, encoded, number)
            done.append(handle)
            return handle

        def release() -> None:
            if not done:
                del self._creations[key]

        return APIFuture(create(), on_end=release)

    def _claim(self, key: str, name: str) -> None:
        claim = object()
        # One operation, so that of two threads one gets it.
        if self._creations.setdefault(key, claim) is not claim:
            raise CustomLossError(
                f"this session has created {name!r} already, by this or another name: use the LossHandle that it got",
                rule=Rule.ONCE,
            )

    async def _create(self, traced: LossHandle, graph: CustomLossGraph, number: int) -> LossHandle:
        session_id = await self._session.opened()
        loss_id = None
        if self._session.connection.capabilities.custom_loss_server_side:
            request = CreateCustomLossRequest(
                session_id=session_id,
                custom_loss_seq_id=number,
                name=_wire_name(traced.name),
                inputs=list(traced.inputs),
                graph=graph,
            )
            loss_id = await self._uploaded(request)
        return LossHandle(traced.name, traced.inputs, session_id, traced.graph, loss_id)

    async def _uploaded(self, request: CreateCustomLossRequest) -> str | None:
        """The server's name of the loss; None where it does not run this one, which then runs here."""
        try:
            return (await self._upload(request)).loss_id
        except APIStatusError as error:
            if error.status_code not in NOT_RUN_THERE:
                raise
            detail = f"the server does not run {request.name}, so it runs here: {error.message}"
            self._session.connection.events.emit("notice", CALL, detail=detail, level=logging.INFO)
            return None

    async def _upload(self, request: CreateCustomLossRequest) -> CreateCustomLossResponse:
        clock = self._session.connection.clock
        started = clock.now()
        answer = await self._session.request(create_custom_loss.asyncio_detailed, CALL, body=json_body(request))
        promise = Promise(
            request_id=answer.parsed.request_id,
            request_type="CreateCustomLoss",
            call=CALL,
            submitted_in=clock.now() - started,
        )
        payload = await self._session.result(promise)
        try:
            return CreateCustomLossResponse.model_validate_json(payload.content)
        except ValueError as error:
            raise APIResponseValidationError(None, payload.content[:2000], str(error)) from error


def _wire_name(name: str) -> str:
    """A function's name as the protocol allows it: a label, so that what does not fit may go."""
    if NAME.fullmatch(name):
        return name
    label = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    return f"loss_{label}"[:64]

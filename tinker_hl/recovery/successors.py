"""Makes models from saved states, each in a session of its own: the one before may be gone with its model.

It knows neither why a model is needed nor what happens with it.
"""

import orjson

from tinker_hl.clients.model_making import make_from_state
from tinker_hl.clients.training import PendingTrainingClient, TrainingClient
from tinker_hl.errors import TinkerError
from tinker_hl.generated_client import EncodedBody
from tinker_hl.model_calls import ModelCalls
from tinker_hl.operations import finish_session
from tinker_hl.retry import RetryPolicy
from tinker_hl.session import Session
from tinker_hl.types import LoadWeightsRequest

__all__ = ["Successors"]

CALL = "TrainingRun.recover"
FINISH_POLICY = RetryPolicy(deadline=10.0, connect_deadline=2.0, pause_for_billing=False)


class Successors:
    """See the module.

    Args:
        session: The first session, on whose connection the others are, and with which they end.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def make(self, path: str, *, optimizer: bool = True) -> TrainingClient:
        """A model from a saved state.

        Args:
            path: `tinker://<run>/weights/<name>`.
            optimizer: Whether its optimizer's state is loaded too.
        """
        session = self._session.sibling()
        calls = ModelCalls(session)
        request = LoadWeightsRequest(model_seq_id=session.next_model(), path=path, optimizer=optimizer)
        return await PendingTrainingClient(calls, CALL, lambda turn: make_from_state(calls, turn, request))

    async def finish(self, session_id: str) -> None:
        """End a session of a process that is gone, so that the server can free its models; a failure is let be."""
        connection = self._session.connection
        call = connection.call(CALL, policy=FINISH_POLICY, timeout=5.0)
        body = EncodedBody(orjson.dumps({"reason": {"type": "interrupted"}, "detail": "replaced by recovery"}))
        try:
            await connection.request(finish_session.asyncio_detailed, call, session_id=session_id, body=body)
        except TinkerError as error:
            connection.events.emit("notice", CALL, detail=f"{session_id} not finished: {error}", level=10)

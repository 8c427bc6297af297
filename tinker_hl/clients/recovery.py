"""Going on after a submission whose fate is unknown.

First the submission is made again, under the same sequence ids and with the same content: a server that had taken it
knows the ids and gives the same promise, so nothing is done twice. When the server takes it, the same model goes on.
When the model is gone, another one is made from a saved state. It does not know why the order broke.
"""

import asyncio
from collections.abc import Sequence

from tinker_hl.clients.model_making import TrainedModel, make_from_state
from tinker_hl.errors import APIStatusError, ModelLostError, RequestFailedError, SubmissionFailedError, TinkerError
from tinker_hl.model_calls import REFUSED, ModelCalls, MovedError, certainly_not_taken
from tinker_hl.operations import save_weights_for_sampler
from tinker_hl.poller import Promise
from tinker_hl.saved_states import SavedState
from tinker_hl.turns import LostSubmission, PartlyTakenError, Turn
from tinker_hl.types import LoadWeightsRequest, SaveWeightsForSamplerRequest

__all__ = ["RECOVER", "Recovery", "retire"]

RECOVER = "TrainingClient.recover"
ABOUT_THE_CALLER = frozenset({401, 402, 403})
"""Statuses that say nothing of the model."""


class _GoneError(Exception):
    """The server does not have the model any more; `__cause__` says how that was found."""


class Recovery:
    """One attempt to go on. Invariant: of the old calls and the new ones, only one side may reach a model.

    Args:
        old: The calls whose order broke, or whose model is in doubt.
        new: The calls of the client that goes on.
        first: Their first place.
        path: The state to make another model from; None for the newest one that is known.
    """

    def __init__(self, old: ModelCalls, new: ModelCalls, first: Turn, path: str | None) -> None:
        self._old = old
        self._new = new
        self._first = first
        self._path = path

    async def run(self, model: TrainedModel) -> TrainedModel:
        """Go on with the model, or with another one made from a state.

        Raises:
            ModelLostError: The model is gone, and no state of it is known.
            TinkerError: The server could not be asked until the policy's deadline; this may be tried again.
        """
        await retire(self._old)
        try:
            await self._same_model()
        except _GoneError as gone:
            return await self._from_state(gone.__cause__)
        self._new.states = self._old.states
        self._old.turns.lost = None
        return TrainedModel(self._new, model.info)

    async def _same_model(self) -> None:
        """Settle what is open, and see that the model is there. Raises `_GoneError` if it is not."""
        lost = self._old.turns.lost
        if lost is None:
            self._new.begin(self._old.model_id, self._old.turns.next_id)
            await self._probe()
            return
        sent = await self._sent_again(lost)
        self._new.begin(self._old.model_id, lost.ids.stop if sent else lost.ids.start)
        if not sent or not await self._done(sent):
            await self._probe()

    async def _sent_again(self, lost: LostSubmission) -> Sequence[Promise]:
        """Submit the lost submission again; nothing if the server will not have it, and so never had it."""
        try:
            promises: list[Promise] = await lost.send(lost.ids)
        except PartlyTakenError as error:
            raise _verdict(error.__cause__ or error) from error.__cause__
        except APIStatusError as error:
            if error.status_code not in REFUSED:
                raise _verdict(error) from error
            self._tell(f"what was submitted again is refused: {error.message}")
            return []
        return promises

    def _tell(self, detail: str) -> None:
        self._old.session.connection.events.emit("notice", RECOVER, detail=detail, level=30)

    async def _done(self, promises: Sequence[Promise]) -> bool:
        """Whether what was submitted again has succeeded, which only a model that is there can do."""
        ended = await asyncio.gather(
            *(self._old.session.result(promise) for promise in promises), return_exceptions=True
        )
        failures = [outcome for outcome in ended if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, TinkerError):
                raise failure
            self._tell(f"what was submitted again has failed: {failure.message}")
        return not failures

    async def _probe(self) -> None:
        """Have the server make a snapshot for sampling, which changes nothing: only a model that is there can."""
        request = SaveWeightsForSamplerRequest(
            model_id="", sampling_session_seq_id=self._new.session.next_sampler(), kind="snapshot"
        )
        try:
            await self._new.single(
                self._first,
                save_weights_for_sampler.asyncio_detailed,
                "SaveWeightsForSampler",
                request.wire_dict(),
                keep=True,
            )
        except (APIStatusError, RequestFailedError) as error:
            raise _verdict(error) from error

    async def _from_state(self, cause: BaseException | None) -> TrainedModel:
        """Make another model."""
        state = self._old.states.newest if self._path is None else SavedState(self._path)
        if state is None:
            raise ModelLostError(
                f"model {self._old.model_id} is gone from the server ({cause}); no saved state of it is known"
            ) from cause
        request = LoadWeightsRequest(
            model_seq_id=self._new.session.next_model(),
            path=state.path,
            optimizer=state.optimizer,
            weights_access_token=state.weights_access_token,
        )
        made = await make_from_state(self._new, self._first, request)
        self._old.turns.lost = None
        return TrainedModel(made.calls, made.info, resumed_from=state.path)


async def retire(calls: ModelCalls) -> None:
    """Wait until the calls have been submitted or have failed; from then on there are no more."""

    async def hand_over(ids: range) -> None:
        calls.turns.fail(RECOVER, MovedError("recover() was called on this client"))

    last = calls.turns.reserve(RECOVER)
    try:
        await last.submit(0, hand_over)
    except SubmissionFailedError:
        # The order is broken already, and so nothing is under way.
        return
    finally:
        last.give_up()


def _verdict(error: BaseException) -> BaseException:
    """What an error says of the model: `_GoneError`, or the error itself where it says nothing."""
    if isinstance(error, RequestFailedError):
        return _GoneError(str(error))
    if isinstance(error, APIStatusError) and error.status_code not in ABOUT_THE_CALLER:
        refused = certainly_not_taken(error) or error.status_code == 409
        return _GoneError(str(error)) if refused else error
    return error

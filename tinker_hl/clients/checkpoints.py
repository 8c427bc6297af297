"""The checkpoint verbs of a training client: save for going on, for sampling, for download; load.

Where a checkpoint lies and what is in it is the server's business.
"""

from tinker_hl.clients.ordered import OrderedVerbs, parsed
from tinker_hl.futures import APIFuture
from tinker_hl.operations import load_weights, save_weights, save_weights_external, save_weights_for_sampler
from tinker_hl.saved_states import SavedState
from tinker_hl.turns import Turn
from tinker_hl.types import (
    LoadWeightsRequest,
    LoadWeightsResponse,
    SaveWeightsExternalRequest,
    SaveWeightsExternalResponse,
    SaveWeightsForSamplerRequest,
    SaveWeightsForSamplerResponse,
    SaveWeightsRequest,
    SaveWeightsResponse,
)

__all__ = ["CheckpointVerbs"]


class CheckpointVerbs(OrderedVerbs):
    """The part of `TrainingClient` that saves and loads; each call has its place in the client's order."""

    def save_state(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: dict[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """Save adapter and optimizer, to go on from.

        Args:
            name: Of the checkpoint.
            ttl_seconds: Seconds until it is deleted, from an hour to ten years; None keeps it.
            overwrite: Replace one of the same name.
            user_metadata: Kept with it.

        Returns:
            A future; `.path` is `tinker://<run>/weights/<name>`.
        """
        request = SaveWeightsRequest(
            model_id="", path=name, ttl_seconds=ttl_seconds, overwrite=overwrite, user_metadata=user_metadata
        )
        calls, number = self._calls, self._calls.states.expect()

        async def run(turn: Turn) -> SaveWeightsResponse:
            payload = await calls.single(turn, save_weights.asyncio_detailed, "SaveWeights", request.wire_dict())
            saved = parsed(payload, SaveWeightsResponse)
            calls.states.keep(number, SavedState(saved.path))
            return saved

        return self._ordered("TrainingClient.save_state", run)

    def save_weights_for_sampler(
        self, name: str, ttl_seconds: int | None = None, user_metadata: dict[str, str] | None = None
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """Save the adapter for sampling, under a name.

        Returns:
            A future; `.path` is `tinker://<run>/sampler_weights/<name>`. See `save_state` for the arguments.
        """
        request = SaveWeightsForSamplerRequest(
            model_id="", path=name, ttl_seconds=ttl_seconds, user_metadata=user_metadata
        )
        return self._simple(
            "TrainingClient.save_weights_for_sampler",
            save_weights_for_sampler.asyncio_detailed,
            "SaveWeightsForSampler",
            request,
            SaveWeightsForSamplerResponse,
        )

    def save_weights_external(
        self, name: str, ttl_seconds: int | None = None, age_encryption_recipients: list[str] | None = None
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """Save the adapter for download.

        Args:
            name: Of the checkpoint.
            ttl_seconds: See `save_state`.
            age_encryption_recipients: At most ten public keys to encrypt the files for.
        """
        request = SaveWeightsExternalRequest(
            model_id="", path=name, ttl_seconds=ttl_seconds, age_encryption_recipients=age_encryption_recipients
        )
        return self._simple(
            "TrainingClient.save_weights_external",
            save_weights_external.asyncio_detailed,
            "SaveWeightsExternal",
            request,
            SaveWeightsExternalResponse,
        )

    def load_state(self, path: str, weights_access_token: str | None = None) -> APIFuture[LoadWeightsResponse]:
        """Load saved weights into this model; the optimizer starts anew.

        The hosted service takes it only as a new client's first call; `ServiceClient.create_training_client_from_state`
        does the same in one.

        Args:
            path: `tinker://<run>/weights/<name>`.
            weights_access_token: For a checkpoint of somebody else.
        """
        return self._load("TrainingClient.load_state", path, weights_access_token, optimizer=False)

    def load_state_with_optimizer(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Load saved weights and the optimizer's state; see `load_state`."""
        return self._load("TrainingClient.load_state_with_optimizer", path, weights_access_token, optimizer=True)

    # Twins, for code that awaits the call itself.

    async def save_state_async(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: dict[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """See `save_state`; the result is its future."""
        return self.save_state(name, ttl_seconds, overwrite, user_metadata)

    async def save_weights_for_sampler_async(
        self, name: str, ttl_seconds: int | None = None, user_metadata: dict[str, str] | None = None
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """See `save_weights_for_sampler`; the result is its future."""
        return self.save_weights_for_sampler(name, ttl_seconds, user_metadata)

    async def save_weights_external_async(
        self, name: str, ttl_seconds: int | None = None, age_encryption_recipients: list[str] | None = None
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """See `save_weights_external`; the result is its future."""
        return self.save_weights_external(name, ttl_seconds, age_encryption_recipients)

    async def load_state_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """See `load_state`; the result is its future."""
        return self.load_state(path, weights_access_token)

    async def load_state_with_optimizer_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """See `load_state_with_optimizer`; the result is its future."""
        return self.load_state_with_optimizer(path, weights_access_token)

    def _load(
        self, call: str, path: str, weights_access_token: str | None, *, optimizer: bool
    ) -> APIFuture[LoadWeightsResponse]:
        request = LoadWeightsRequest(path=path, optimizer=optimizer, weights_access_token=weights_access_token)
        calls, number = self._calls, self._calls.states.expect()

        async def run(turn: Turn) -> LoadWeightsResponse:
            payload = await calls.single(turn, load_weights.asyncio_detailed, "LoadWeights", request.wire_dict())
            calls.states.keep(number, SavedState(path, optimizer, weights_access_token))
            return parsed(payload, LoadWeightsResponse)

        return self._ordered(call, run)

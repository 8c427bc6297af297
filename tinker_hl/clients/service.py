"""`ServiceClient`: the door to everything else. It makes training, sampling and administration clients.

Making one costs no request: the session is opened by the first call that needs it. It is finished by `close`, by
leaving the `with` block, when the last client of the session is dropped, or at the end of the program.
"""

import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tinker_hl.call_metrics import CallMetrics
from tinker_hl.circuit_breaker import CircuitBreaker
from tinker_hl.clients.model_making import make_fresh, make_from_state
from tinker_hl.clients.sampling import PendingSamplingClient, SamplingClient, open_sampler
from tinker_hl.clients.training import PendingTrainingClient, TrainingClient
from tinker_hl.configuration.profiles import Profile
from tinker_hl.configuration.settings import read_settings
from tinker_hl.configuration.snapshot import Configuration, configuration_of
from tinker_hl.connection import Connection
from tinker_hl.custom_loss.creation import CustomLosses
from tinker_hl.custom_loss.handle import LossHandle, PerDatumLossFn
from tinker_hl.errors import ConfigurationError
from tinker_hl.events import Guard, Listener
from tinker_hl.futures import APIFuture
from tinker_hl.model_calls import ModelCalls
from tinker_hl.operations import get_server_capabilities
from tinker_hl.retry import Clock, RetryConfig, RetryPolicy
from tinker_hl.session import EndStatus, Session, SessionOptions
from tinker_hl.telemetry import Telemetry
from tinker_hl.transport import Transport
from tinker_hl.transport.route import Certificates
from tinker_hl.types import (
    AdamOptimizerConfig,
    CreateModelRequest,
    CustomLossInputRank,
    GetServerCapabilitiesResponse,
    LoadWeightsRequest,
    LoraConfig,
    OptimizerConfig,
)

if TYPE_CHECKING:
    from tinker_hl.clients.rest import RestClient

__all__ = ["ServiceClient"]

CONSOLE = "https://tinker.thinkingmachines.ai"
INSTEAD = {"http_client": "transport="}
"""Arguments that release 0.7 hands to its HTTP library and that mean nothing here, and what to write."""
OF_SOCKETS = ("max_connections", "proxy", "proxy_headers", "certificates")
"""Arguments that say nothing to a `transport=` of the user's."""


class ServiceClient:
    """A connection to one server, and one session on it.

    Args:
        user_metadata: Kept with the session.
        project_id: What the session belongs to; None for `TINKER_PROJECT_ID`.
        display_name: For people who look at a list of sessions.
        base_url: An address, `"local"` for a service of this process's own, or None for `TINKER_BASE_URL` or else the
            hosted service.
        api_key: None for `TINKER_API_KEY`.
        default_headers_overrides: More headers for every request.
        transport: How requests travel; None for sockets.
        retry_policy: How calls are retried; wins over `parity`.
        clock: The time, for waits between attempts; tests pass `InstantClock()`.
        circuit_breaker: When to stop trying for a while; None for never.
        telemetry: Whether to report to the service what goes wrong. None is what `TINKER_TELEMETRY` says, or else yes
            for the hosted service and no for any other; `TINKER_TELEMETRY=0` always wins.
        progress: Whether to show what is waited for in a line on the terminal or below a notebook's cell;
            `TINKER_PROGRESS=0` always wins.
        parity: A profile of times and limits, or its name, such as `"official-0.38"`; None for `TINKER_PARITY` or else
            the client's own. Explicit values win over it.
        timeout: Seconds for each attempt of a call; None for `TINKER_TIMEOUT` or else the profile's.
        max_retries: Attempts after the first one; None for `TINKER_MAX_RETRIES` or else the profile's.
        max_connections: Sockets at once; None for `TINKER_MAX_CONNECTIONS` or else the profile's.
        proxy: The URL of a proxy for every request, with user name and password if it wants them; None for
            `TINKER_PROXY` or else `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, but for the hosts of `NO_PROXY`.
        proxy_headers: More headers for the proxy; None for `TINKER_PROXY_HEADERS`.
        certificates: A file or a folder of certificates (PEM) that are trusted beside the system's, or a TLS context.
        default_query: Goes into the query of every request; None for `TINKER_DEFAULT_QUERY`.
        kwargs: Arguments of other releases: `default_headers` adds headers too, the rest is ignored with a warning.

    Raises:
        ConfigurationError: An argument or a variable cannot be meant, or there is no key for the hosted service.
    """

    def __init__(
        self,
        user_metadata: Mapping[str, str] | None = None,
        project_id: str | None = None,
        *,
        display_name: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        default_headers_overrides: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        retry_policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        circuit_breaker: CircuitBreaker | None = None,
        telemetry: bool | None = None,
        progress: bool = True,
        parity: Profile | str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        max_connections: int | None = None,
        proxy: str | None = None,
        proxy_headers: Mapping[str, str] | None = None,
        certificates: Certificates | None = None,
        default_query: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        headers = {**_headers_of_older_releases(kwargs), **(default_headers_overrides or {})}
        told = {
            "project_id": project_id or None,
            "timeout": timeout,
            "max_retries": max_retries,
            "max_connections": max_connections,
            "proxy": proxy,
            "proxy_headers": proxy_headers,
            "certificates": certificates,
            "default_headers": headers or None,
            "default_query": default_query,
            "telemetry": telemetry,
            "progress": None if progress else False,
        }
        _refuse_beside(transport, told)
        settings = read_settings(told, parity=parity, policy=retry_policy)
        connection = Connection(
            base_url,
            api_key,
            transport=transport,
            settings=settings,
            clock=clock,
            circuit_breaker=circuit_breaker,
        )
        options = SessionOptions(
            user_metadata=dict(user_metadata or {}),
            project_id=settings["project_id"],
            display_name=display_name,
            tags=settings["tags"],
        )
        self._base_url = base_url
        self._session = Session(connection, options)
        self._custom_losses = CustomLosses(self._session)

    # Training.

    def create_lora_training_client(
        self,
        base_model: str,
        rank: int = 32,
        seed: int | None = None,
        train_mlp: bool = True,
        train_attn: bool = True,
        train_unembed: bool = True,
        user_metadata: dict[str, str] | None = None,
        optimizer: OptimizerConfig | None = None,
        *,
        verify: bool = False,
    ) -> PendingTrainingClient:
        """Make a fresh LoRA adapter on a base model.

        Args:
            base_model: Its name, one of `get_server_capabilities().supported_models`.
            rank: Of the adapter.
            seed: Of its initial weights; None lets the server choose.
            train_mlp: Whether the feed-forward layers have adapters.
            train_attn: Whether the attention layers have.
            train_unembed: Whether the output layer has.
            user_metadata: Kept with the training run.
            optimizer: The family of optimizer; AdamW unless told.
            verify: Whether every pass's result is held against the loss's formula (docs/losses.md); one that differs is
                a `VerificationError`.

        Returns:
            A future that can also be used as the client itself.
        """
        if not (train_mlp or train_attn or train_unembed):
            raise AssertionError("at least one of train_mlp, train_attn, train_unembed must be True")
        lora = LoraConfig(rank=rank, seed=seed, train_mlp=train_mlp, train_attn=train_attn, train_unembed=train_unembed)
        request = CreateModelRequest(
            session_id="",
            model_seq_id=self._number(),
            base_model=base_model,
            user_metadata=None if user_metadata is None else dict(user_metadata),
            lora_config=lora,
            optimizer_config=optimizer or AdamOptimizerConfig(),
        )
        calls, call = ModelCalls(self._session, verifies=verify), "ServiceClient.create_lora_training_client"
        return PendingTrainingClient(calls, call, lambda turn: make_fresh(calls, call, request))

    async def create_lora_training_client_async(
        self,
        base_model: str,
        rank: int = 32,
        seed: int | None = None,
        train_mlp: bool = True,
        train_attn: bool = True,
        train_unembed: bool = True,
        user_metadata: dict[str, str] | None = None,
        optimizer: OptimizerConfig | None = None,
        *,
        verify: bool = False,
    ) -> TrainingClient:
        """See `create_lora_training_client`; the result is the client."""
        return await self.create_lora_training_client(
            base_model, rank, seed, train_mlp, train_attn, train_unembed, user_metadata, optimizer, verify=verify
        )

    def create_training_client_from_state(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: dict[str, str] | None = None,
        weights_access_token: str | None = None,
        optimizer: OptimizerConfig | None = None,
        *,
        verify: bool = False,
    ) -> PendingTrainingClient:
        """Go on from saved weights, with a fresh optimizer.

        Args:
            path: `tinker://<run>/weights/<name>`.
            base_model: Replaces the base model that the checkpoint names, on servers that allow it.
            user_metadata: Kept with the new training run.
            weights_access_token: For a checkpoint of somebody else.
            optimizer: The family of optimizer.
            verify: As in `create_lora_training_client`.

        Returns:
            A future that can also be used as the client itself.
        """
        return self._from_state(
            path,
            base_model,
            user_metadata,
            weights_access_token,
            optimizer=optimizer,
            with_optimizer=False,
            verify=verify,
        )

    async def create_training_client_from_state_async(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: dict[str, str] | None = None,
        weights_access_token: str | None = None,
        optimizer: OptimizerConfig | None = None,
        *,
        verify: bool = False,
    ) -> TrainingClient:
        """See `create_training_client_from_state`; the result is the client."""
        return await self.create_training_client_from_state(
            path, base_model, user_metadata, weights_access_token, optimizer, verify=verify
        )

    def create_training_client_from_state_with_optimizer(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: dict[str, str] | None = None,
        weights_access_token: str | None = None,
        *,
        verify: bool = False,
    ) -> PendingTrainingClient:
        """Go on from a saved state exactly where it was, the optimizer's state included.

        See `create_training_client_from_state` for the arguments.
        """
        return self._from_state(
            path, base_model, user_metadata, weights_access_token, with_optimizer=True, verify=verify
        )

    async def create_training_client_from_state_with_optimizer_async(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: dict[str, str] | None = None,
        weights_access_token: str | None = None,
        *,
        verify: bool = False,
    ) -> TrainingClient:
        """See `create_training_client_from_state_with_optimizer`; the result is the client."""
        return await self.create_training_client_from_state_with_optimizer(
            path, base_model, user_metadata, weights_access_token, verify=verify
        )

    # Losses.

    def create_custom_loss(
        self, fn: PerDatumLossFn, input_ranks: Mapping[str, CustomLossInputRank]
    ) -> APIFuture[LossHandle]:
        """Trace a loss of single datums, for `TrainingClient.forward_backward_custom`.

        A server that runs such losses is given the graph, so that one pass does the work of two; else it runs on this
        machine, with the same results. docs/custom-losses.md has the rules.

        Args:
            fn: A plain function of `logprobs` and of loss inputs by their names; returns the datum's loss and a dict of
                metrics named `custom/<name>:sum` or `custom/<name>:mean`.
            input_ranks: The rank of each parameter: 0 a scalar, 1 [T], 2 [T, K].

        Returns:
            A future of the handle, which belongs to this client's session.

        Raises:
            CustomLossError: The function breaks a rule, which it names with the node; or was created before.
            ConfigurationError: torch is not installed; it is an `ImportError` too.
        """
        return self._custom_losses.create(fn, input_ranks)

    # Sampling.

    def create_sampling_client(
        self,
        model_path: str | None = None,
        base_model: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> PendingSamplingClient:
        """A client that samples from saved weights, or from a base model.

        Args:
            model_path: `tinker://<run>/sampler_weights/<name>`.
            base_model: A base model's name.
            retry_config: How its samples are retried.
            record_stability_info: Whether the server should keep what some losses need later.

        Returns:
            A future that can also be used as the client itself.
        """
        if not (model_path or base_model):
            raise ValueError("either model_path or base_model is needed")
        self._session.refuse_closed()
        return PendingSamplingClient(
            open_sampler(
                self._session,
                "ServiceClient.create_sampling_client",
                model_path=model_path,
                base_model=base_model,
                retry_config=retry_config,
                record_stability_info=record_stability_info,
            )
        )

    async def create_sampling_client_async(
        self,
        model_path: str | None = None,
        base_model: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> SamplingClient:
        """See `create_sampling_client`; the result is the client."""
        return await self.create_sampling_client(model_path, base_model, retry_config, record_stability_info)

    # The server.

    def get_server_capabilities(self) -> GetServerCapabilitiesResponse:
        """The base models that the server offers."""
        return APIFuture(self.get_server_capabilities_async()).result()

    async def get_server_capabilities_async(self) -> GetServerCapabilitiesResponse:
        """See `get_server_capabilities`."""
        return await APIFuture(self._capabilities())

    def create_rest_client(self) -> "RestClient":
        """A client for lists of runs, checkpoints and sessions; it shares this client's connection."""
        from tinker_hl.clients.rest import RestClient  # late: not every program has use for it

        return RestClient(self._session.connection)

    def copy_weights(
        self, path: str, *, ttl_seconds: int | None = None, weights_access_token: str | None = None
    ) -> APIFuture[str]:
        """Copy a checkpoint into this client's project; see `RestClient.copy_weights`."""
        return self.create_rest_client().copy_weights(
            path,
            self._session.options.project_id,
            ttl_seconds=ttl_seconds,
            weights_access_token=weights_access_token,
        )

    def get_console_url(self) -> str:
        """The session's page in the hosted service's console; the list of sessions while there is none."""
        session_id = self._session.session_id
        return f"{CONSOLE}/sessions" + (f"/{session_id}" if session_id else "")

    def get_telemetry(self) -> Telemetry | None:
        """The reports to the service; None where they are off, as for any service but the hosted one."""
        return self._session.connection.telemetry

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every event of this connection; the returned function ends it. See `Event`."""
        return self._session.connection.events.subscribe(listener)

    def guard(self, guard: Guard) -> Callable[[], None]:
        """Have `guard` asked of every call of this connection when it is queued, before anything of it is sent.

        What it raises is the end of that call: the method raises it, or its future does. The event tells which method
        it is, and how many tokens it may take: `event.fields["most_tokens"]`. It is called in many threads and must be
        quick.

        Args:
            guard: Raises where a call is not to be made, best a `TinkerError`.

        Returns:
            A function that ends it.
        """
        return self._session.connection.events.guard(guard)

    @property
    def config(self) -> Configuration:
        """What this client has been told, each value with where it comes from; no secret is in it."""
        return configuration_of(self._session.connection, self._base_url)

    @property
    def metrics(self) -> CallMetrics:
        """Counts and latencies of everything that this client and those made by it have done."""
        return self._session.connection.metrics

    # The end.

    def close(self, status: EndStatus = "success", detail: str | None = None) -> APIFuture[None]:
        """Finish the session and close the connection; unfinished calls of its clients fail.

        Args:
            status: How the work ended.
            detail: A line for people.

        Returns:
            A future; done already if the client was closed before.
        """
        if status not in ("success", "errored", "interrupted"):
            raise ValueError(f"status must be success, errored or interrupted, got {status!r}")
        return APIFuture(self._session.aclose(status, detail))

    def __enter__(self) -> Self:
        self._session.refuse_closed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(*_ending(error)).result()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(*_ending(error))

    def __reduce__(self) -> Any:
        """It owns a session: another process makes its own."""
        raise TypeError("a ServiceClient cannot be pickled; pickle a SamplingClient, or make a new ServiceClient")

    # How models are made.

    def _number(self) -> int:
        self._session.refuse_closed()
        return self._session.next_model()

    async def _capabilities(self) -> GetServerCapabilitiesResponse:
        answer = await self._session.request(
            get_server_capabilities.asyncio_detailed, "ServiceClient.get_server_capabilities"
        )
        return GetServerCapabilitiesResponse.model_validate_json(answer.content)

    def _from_state(
        self,
        path: str,
        base_model: str | Mapping[str, str] | None,
        user_metadata: dict[str, str] | None,
        weights_access_token: str | None,
        *,
        optimizer: OptimizerConfig | None = None,
        with_optimizer: bool,
        verify: bool,
    ) -> PendingTrainingClient:
        if isinstance(base_model, Mapping):
            # Release 0.7 of the official SDK has the metadata in this place, and no base model.
            user_metadata, base_model = dict(base_model), None
        request = LoadWeightsRequest(
            model_seq_id=self._number(),
            base_model=base_model,
            user_metadata=None if user_metadata is None else dict(user_metadata),
            path=path,
            optimizer=with_optimizer,
            optimizer_config=optimizer,
            weights_access_token=weights_access_token,
        )
        suffix = "_with_optimizer" if with_optimizer else ""
        calls = ModelCalls(self._session, verifies=verify)
        call = f"ServiceClient.create_training_client_from_state{suffix}"
        return PendingTrainingClient(calls, call, lambda turn: make_from_state(calls, turn, request))


def _ending(error: BaseException | None) -> tuple[EndStatus, str | None]:
    """What leaving a `with` block by this error means."""
    if error is None:
        return "success", None
    return ("errored" if isinstance(error, Exception) else "interrupted"), type(error).__name__


def _refuse_beside(transport: Transport | None, told: Mapping[str, Any]) -> None:
    given = [name for name in OF_SOCKETS if told[name] is not None]
    if transport is not None and given:
        raise ConfigurationError(
            f"{given[0]}= has no effect beside transport=, which has its own way to the server",
            hint="Give it to the transport: NetworkTransport(max_connections=..., route=Route(proxy=..., ...)).",
        )


def _headers_of_older_releases(arguments: dict[str, Any]) -> dict[str, str]:
    """What release 0.7 calls `default_headers`. The other arguments are ignored, and the warning says what to write."""
    headers = dict(arguments.pop("default_headers", None) or {})
    if arguments:
        advice = [f"write {INSTEAD[name]} for {name}=" for name in sorted(arguments) if name in INSTEAD]
        told = "; ".join([f"ServiceClient ignores unknown arguments: {sorted(arguments)}", *advice])
        warnings.warn(told, FutureWarning, stacklevel=3)
    return headers

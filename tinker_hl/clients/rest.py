"""`RestClient`: training runs, checkpoints, sessions and samplers, as lists and records. It needs no session.

Each method makes one call and returns its future; the twins `..._async` return the plain value when awaited.
"""

import logging
import os
import warnings
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import orjson
from tinker_api import models
from tinker_api.types import UNSET

from tinker_hl.clients.admin import AdminClient, AuditEvents
from tinker_hl.clients.pages import Pages
from tinker_hl.clients.sessionless import SessionlessClient, parsed
from tinker_hl.credentials import token_claims
from tinker_hl.errors import APIResponseValidationError, APITimeoutError, ConfigurationError, RequestFailedError
from tinker_hl.experimental import ExperimentalWarning
from tinker_hl.futures import APIFuture
from tinker_hl.generated_client import EncodedBody
from tinker_hl.operations import (
    assign_session_project,
    copy_weights,
    delete_checkpoint,
    export_session_trace,
    get_checkpoint_archive,
    get_external_weights_urls,
    get_sampler,
    get_server_capabilities,
    get_session,
    get_training_run,
    get_weights_info,
    list_checkpoints,
    list_sessions,
    list_training_run_checkpoints,
    list_training_runs,
    publish_checkpoint,
    search_sessions,
    set_checkpoint_ttl,
    unpublish_checkpoint,
)
from tinker_hl.session import json_body
from tinker_hl.types import (
    AuditLogResponse,
    BillingUsageResponse,
    Checkpoint,
    CheckpointArchiveUrlResponse,
    CheckpointsListResponse,
    CopyWeightsRequest,
    CopyWeightsResponse,
    CurrentCheckpointStorageUsageResponse,
    ExternalWeightsUrlsResponse,
    GetSamplerResponse,
    GetServerCapabilitiesResponse,
    GetSessionResponse,
    ListSessionsResponse,
    ParsedCheckpointTinkerPath,
    SessionSearchRequest,
    SessionSearchResponse,
    TraceExportResponse,
    TrainingRun,
    TrainingRunsResponse,
    WeightsInfoResponse,
    WhoamiResponse,
)

__all__ = ["AccessScope", "RestClient"]

AccessScope = Literal["owned", "accessible"]
ARCHIVE_LIFETIME = timedelta(minutes=15)
"""How long an archive's link is taken to live where the server does not say."""
TRACE_POLL_SECONDS = 5.0
TRACE_DEADLINE = 3600.0
"""Seconds for which a trace is waited for: longer than the largest session took, and not for ever."""

EXPERIMENTAL_SEARCH = "RestClient.search_sessions is experimental: the hosted service may change it in any release"


class RestClient(SessionlessClient):
    """See the module. Paths are `tinker://<run>/<segment>/<name>`; a checkpoint id is `<segment>/<name>`.

    Invariant: a call with arguments that cannot be meant raises at the call; everything else comes by the future.
    """

    # Runs.

    def get_server_capabilities(self) -> APIFuture[GetServerCapabilitiesResponse]:
        """The base models that the server offers."""
        return self._get(
            "get_server_capabilities", GetServerCapabilitiesResponse, get_server_capabilities.asyncio_detailed
        )

    def get_training_run(self, training_run_id: str, access_scope: AccessScope = "owned") -> APIFuture[TrainingRun]:
        """One training run.

        Args:
            training_run_id: Its id, which is the model's.
            access_scope: `owned` looks among one's own; `accessible` also among those of others that one may see.
        """
        return self._get(
            "get_training_run",
            TrainingRun,
            get_training_run.asyncio_detailed,
            training_run_id=training_run_id,
            access_scope=models.AccessScope(access_scope),
        )

    def get_training_run_by_tinker_path(
        self, tinker_path: str, access_scope: AccessScope = "owned"
    ) -> APIFuture[TrainingRun]:
        """The training run that a checkpoint belongs to."""
        run = ParsedCheckpointTinkerPath.from_tinker_path(tinker_path).training_run_id
        return self.get_training_run(run, access_scope)

    def get_weights_info_by_tinker_path(self, tinker_path: str) -> APIFuture[WeightsInfoResponse]:
        """What is needed to load a checkpoint: base model, rank, which layers."""
        body = EncodedBody(orjson.dumps({"tinker_path": tinker_path}))
        return self._get(
            "get_weights_info_by_tinker_path", WeightsInfoResponse, get_weights_info.asyncio_detailed, body=body
        )

    def list_training_runs(
        self,
        limit: int = 20,
        offset: int = 0,
        access_scope: AccessScope = "owned",
        project_id: str | None = None,
    ) -> APIFuture[TrainingRunsResponse]:
        """A page of training runs, newest first.

        Args:
            limit: Runs on the page.
            offset: Runs before it.
            access_scope: See `get_training_run`.
            project_id: Only those of one project.
        """
        return self._get(
            "list_training_runs",
            TrainingRunsResponse,
            list_training_runs.asyncio_detailed,
            limit=limit,
            offset=offset,
            access_scope=models.AccessScope(access_scope),
            project_id=UNSET if project_id is None else project_id,
        )

    def iter_training_runs(
        self, page_size: int = 100, access_scope: AccessScope = "owned", project_id: str | None = None
    ) -> Pages[TrainingRun]:
        """All training runs, newest first, for `for` and `async for`; see `list_training_runs`."""
        return Pages(
            lambda limit, offset: self.list_training_runs(limit, offset, access_scope, project_id).map(
                lambda page: (page.training_runs, page.cursor)
            ),
            page_size,
        )

    # Checkpoints.

    def list_checkpoints(self, training_run_id: str) -> APIFuture[CheckpointsListResponse]:
        """All checkpoints of a training run."""
        return self._get(
            "list_checkpoints",
            CheckpointsListResponse,
            list_training_run_checkpoints.asyncio_detailed,
            training_run_id=training_run_id,
        )

    def list_user_checkpoints(self, limit: int = 100, offset: int = 0) -> APIFuture[CheckpointsListResponse]:
        """A page of one's own checkpoints, of all runs."""
        return self._get(
            "list_user_checkpoints",
            CheckpointsListResponse,
            list_checkpoints.asyncio_detailed,
            limit=limit,
            offset=offset,
        )

    def iter_user_checkpoints(self, page_size: int = 100) -> Pages[Checkpoint]:
        """All one's own checkpoints, for `for` and `async for`; the next page is asked for when it is needed."""
        return Pages(
            lambda limit, offset: self.list_user_checkpoints(limit, offset).map(
                lambda page: (page.checkpoints, page.cursor)
            ),
            page_size,
        )

    def delete_checkpoint(self, training_run_id: str, checkpoint_id: str) -> APIFuture[None]:
        """Delete a checkpoint, for good."""
        return self._do(
            "delete_checkpoint", delete_checkpoint.asyncio_detailed, **_checkpoint(training_run_id, checkpoint_id)
        )

    def delete_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Delete a checkpoint, for good."""
        return self._do("delete_checkpoint_from_tinker_path", delete_checkpoint.asyncio_detailed, **_path(tinker_path))

    def publish_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Let everybody who knows its path load a checkpoint."""
        return self._do(
            "publish_checkpoint_from_tinker_path", publish_checkpoint.asyncio_detailed, **_path(tinker_path)
        )

    def unpublish_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Make a checkpoint private again."""
        return self._do(
            "unpublish_checkpoint_from_tinker_path", unpublish_checkpoint.asyncio_detailed, **_path(tinker_path)
        )

    def set_checkpoint_ttl_from_tinker_path(self, tinker_path: str, ttl_seconds: int | None) -> APIFuture[None]:
        """Let a checkpoint be deleted after some time, from now.

        Args:
            tinker_path: Of the checkpoint.
            ttl_seconds: From an hour to ten years; None keeps it.
        """
        return self._do(
            "set_checkpoint_ttl_from_tinker_path",
            set_checkpoint_ttl.asyncio_detailed,
            **_path(tinker_path),
            body=EncodedBody(orjson.dumps({"ttl_seconds": ttl_seconds})),
        )

    def get_checkpoint_archive_url(
        self, training_run_id: str, checkpoint_id: str
    ) -> APIFuture[CheckpointArchiveUrlResponse]:
        """A link to a gzip tar of a checkpoint, to be fetched without a key.

        Args:
            training_run_id: The run.
            checkpoint_id: `<segment>/<name>`.
        """
        arguments = _checkpoint(training_run_id, checkpoint_id)
        return APIFuture(self._archive("get_checkpoint_archive_url", arguments))

    def get_checkpoint_archive_url_from_tinker_path(self, tinker_path: str) -> APIFuture[CheckpointArchiveUrlResponse]:
        """A link to a gzip tar of a checkpoint, to be fetched without a key."""
        return APIFuture(self._archive("get_checkpoint_archive_url_from_tinker_path", _path(tinker_path)))

    def get_external_weights_urls(self, tinker_path: str) -> APIFuture[ExternalWeightsUrlsResponse]:
        """Links to the files of weights that were saved for download."""
        if ParsedCheckpointTinkerPath.from_tinker_path(tinker_path).checkpoint_type != "external":
            raise ValueError(f"{tinker_path} was not saved for download: save_weights_external makes such paths")
        return self._get(
            "get_external_weights_urls",
            ExternalWeightsUrlsResponse,
            get_external_weights_urls.asyncio_detailed,
            **_path(tinker_path),
        )

    def copy_weights(
        self,
        path: str,
        destination_project_id: str | None = None,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> APIFuture[str]:
        """Copy a checkpoint into a project.

        Args:
            path: Of the source.
            destination_project_id: The project; None for `TINKER_PROJECT_ID`.
            ttl_seconds: Of the copy.
            weights_access_token: For a checkpoint of somebody else. It travels in a header of its own, and is in no
                log, event or error.

        Returns:
            A future of the copy's path.

        Raises:
            ValueError: No project is named.
        """
        project = destination_project_id or os.environ.get("TINKER_PROJECT_ID")
        if not project:
            raise ValueError("copy_weights needs a project: give destination_project_id, or set TINKER_PROJECT_ID")
        request = CopyWeightsRequest(source_path=path, destination_project_id=project, ttl_seconds=ttl_seconds)
        copied = self._get(
            "copy_weights",
            CopyWeightsResponse,
            copy_weights.asyncio_detailed,
            body=json_body(request),
            x_tinker_weights_access_token=UNSET if weights_access_token is None else weights_access_token,
        )
        return copied.map(lambda answer: answer.tinker_path)

    # Sessions and samplers.

    def get_session(self, session_id: str, access_scope: AccessScope = "owned") -> APIFuture[GetSessionResponse]:
        """What belongs to a session."""
        return self._get(
            "get_session",
            GetSessionResponse,
            get_session.asyncio_detailed,
            session_id=session_id,
            access_scope=models.AccessScope(access_scope),
        )

    def list_sessions(
        self, limit: int = 20, offset: int = 0, access_scope: AccessScope = "owned"
    ) -> APIFuture[ListSessionsResponse]:
        """A page of sessions, newest first."""
        return self._get(
            "list_sessions",
            ListSessionsResponse,
            list_sessions.asyncio_detailed,
            limit=limit,
            offset=offset,
            access_scope=models.AccessScope(access_scope),
        )

    def search_sessions(self, request: SessionSearchRequest) -> APIFuture[SessionSearchResponse]:
        """Sessions that match all conditions.

        Each call emits an `ExperimentalWarning`: the hosted service may still change the endpoint.
        """
        warnings.warn(EXPERIMENTAL_SEARCH, ExperimentalWarning, stacklevel=2)
        return self._get(
            "search_sessions", SessionSearchResponse, search_sessions.asyncio_detailed, body=json_body(request)
        )

    def assign_session_project(self, session_id: str, project_id: str) -> APIFuture[None]:
        """Move a session to a project."""
        return self._do(
            "assign_session_project",
            assign_session_project.asyncio_detailed,
            session_id=session_id,
            body=EncodedBody(orjson.dumps({"project_id": project_id})),
        )

    def export_session_trace(self, session_id: str) -> APIFuture[str]:
        """A link to a trace of a session's work; waits until the server has made it, an hour at most.

        Raises:
            RequestFailedError: The server could not make it.
            APITimeoutError: It was not made within an hour.
        """
        return APIFuture(self._exported_trace(session_id))

    async def _exported_trace(self, session_id: str) -> str:
        name, clock, started = "export_session_trace", self._connection.clock, self._connection.clock.now()
        told = False
        while True:
            answer = await self._call(name, export_session_trace.asyncio_detailed, session_id=session_id)
            trace = parsed(answer, TraceExportResponse)
            if trace.status == "ready" and trace.url:
                return trace.url
            if trace.status != "pending":
                raise RequestFailedError(trace.error or "the trace could not be made", session_id, "server")
            if clock.now() - started >= TRACE_DEADLINE:
                raise APITimeoutError(
                    None,
                    f"the trace of session {session_id} was not made within {TRACE_DEADLINE:.0f} s",
                    hint="The server goes on making it: call export_session_trace again later.",
                )
            if not told:
                detail = f"the server is making the trace of session {session_id}, which can take minutes"
                self._connection.events.emit("notice", f"RestClient.{name}", detail=detail, level=logging.WARNING)
                told = True
            await clock.sleep(TRACE_POLL_SECONDS)

    def get_sampler(self, sampler_id: str) -> APIFuture[GetSamplerResponse]:
        """What a sampler samples from."""
        return self._get("get_sampler", GetSamplerResponse, get_sampler.asyncio_detailed, sampler_id=sampler_id)

    def whoami(self) -> APIFuture[WhoamiResponse]:
        """Who the server takes this client for; read from the token that it gave, without asking it.

        Raises:
            ConfigurationError: The server gives no tokens, and the key is none.
            APIResponseValidationError: The token does not say who it is for.
        """

        async def run() -> WhoamiResponse:
            await self._connection.ready()
            claims = token_claims(await self._connection.credential.value())
            if not claims:
                raise ConfigurationError("the credential is a plain key, which does not say who it belongs to")
            for claim in ("sub", "org_id"):
                if claim not in claims:
                    raise APIResponseValidationError(None, None, f"the token has no claim {claim!r}")
            return WhoamiResponse(
                user_urn=str(claims["sub"]),
                org_urn=f"tml:organization:{claims['org_id']}",
                email=claims.get("email") or None,
            )

        return APIFuture(run())

    # What `AdminClient` answers, for code that asks here.

    def get_audit_log(self, event_type: AuditEvents = "all", day: date | None = None) -> APIFuture[AuditLogResponse]:
        """See `AdminClient.get_audit_log`."""
        return AdminClient(self._connection).get_audit_log(event_type, day)

    def get_billing_usage(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> APIFuture[BillingUsageResponse]:
        """See `AdminClient.get_billing_usage`."""
        return AdminClient(self._connection).get_billing_usage(starting_on, ending_before)

    def get_current_checkpoint_storage_usage(
        self, project_id: str | None = None
    ) -> APIFuture[CurrentCheckpointStorageUsageResponse]:
        """See `AdminClient.get_current_checkpoint_storage_usage`."""
        return AdminClient(self._connection).get_current_checkpoint_storage_usage(project_id)

    async def _archive(self, name: str, arguments: dict[str, Any]) -> CheckpointArchiveUrlResponse:
        call = self._connection.call(f"RestClient.{name}", accept_redirect=True, headers={"Accept": "application/gzip"})
        answer = await self._connection.request(get_checkpoint_archive.asyncio_detailed, call, **arguments)
        link = answer.headers.get("location")
        if link is None:
            return parsed(answer, CheckpointArchiveUrlResponse)
        return CheckpointArchiveUrlResponse(
            url=self._connection.absolute(link), expires=_expiry(answer.headers.get("expires"))
        )

    # Twins, for code that awaits the call itself.

    async def get_training_run_async(self, training_run_id: str, access_scope: AccessScope = "owned") -> TrainingRun:
        """See `get_training_run`."""
        return await self.get_training_run(training_run_id, access_scope)

    async def get_training_run_by_tinker_path_async(
        self, tinker_path: str, access_scope: AccessScope = "owned"
    ) -> TrainingRun:
        """See `get_training_run_by_tinker_path`."""
        return await self.get_training_run_by_tinker_path(tinker_path, access_scope)

    async def list_training_runs_async(
        self, limit: int = 20, offset: int = 0, access_scope: AccessScope = "owned", project_id: str | None = None
    ) -> TrainingRunsResponse:
        """See `list_training_runs`."""
        return await self.list_training_runs(limit, offset, access_scope, project_id)

    async def list_checkpoints_async(self, training_run_id: str) -> CheckpointsListResponse:
        """See `list_checkpoints`."""
        return await self.list_checkpoints(training_run_id)

    async def list_user_checkpoints_async(self, limit: int = 100, offset: int = 0) -> CheckpointsListResponse:
        """See `list_user_checkpoints`."""
        return await self.list_user_checkpoints(limit, offset)

    async def delete_checkpoint_async(self, training_run_id: str, checkpoint_id: str) -> None:
        """See `delete_checkpoint`."""
        await self.delete_checkpoint(training_run_id, checkpoint_id)

    async def delete_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """See `delete_checkpoint_from_tinker_path`."""
        await self.delete_checkpoint_from_tinker_path(tinker_path)

    async def publish_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """See `publish_checkpoint_from_tinker_path`."""
        await self.publish_checkpoint_from_tinker_path(tinker_path)

    async def unpublish_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """See `unpublish_checkpoint_from_tinker_path`."""
        await self.unpublish_checkpoint_from_tinker_path(tinker_path)

    async def set_checkpoint_ttl_from_tinker_path_async(self, tinker_path: str, ttl_seconds: int | None) -> None:
        """See `set_checkpoint_ttl_from_tinker_path`."""
        await self.set_checkpoint_ttl_from_tinker_path(tinker_path, ttl_seconds)

    async def get_checkpoint_archive_url_async(
        self, training_run_id: str, checkpoint_id: str
    ) -> CheckpointArchiveUrlResponse:
        """See `get_checkpoint_archive_url`."""
        return await self.get_checkpoint_archive_url(training_run_id, checkpoint_id)

    async def get_checkpoint_archive_url_from_tinker_path_async(self, tinker_path: str) -> CheckpointArchiveUrlResponse:
        """See `get_checkpoint_archive_url_from_tinker_path`."""
        return await self.get_checkpoint_archive_url_from_tinker_path(tinker_path)

    async def get_external_weights_urls_async(self, tinker_path: str) -> ExternalWeightsUrlsResponse:
        """See `get_external_weights_urls`."""
        return await self.get_external_weights_urls(tinker_path)

    async def copy_weights_async(
        self,
        path: str,
        destination_project_id: str | None = None,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> str:
        """See `copy_weights`."""
        return await self.copy_weights(
            path, destination_project_id, ttl_seconds=ttl_seconds, weights_access_token=weights_access_token
        )

    async def get_session_async(self, session_id: str, access_scope: AccessScope = "owned") -> GetSessionResponse:
        """See `get_session`."""
        return await self.get_session(session_id, access_scope)

    async def list_sessions_async(
        self, limit: int = 20, offset: int = 0, access_scope: AccessScope = "owned"
    ) -> ListSessionsResponse:
        """See `list_sessions`."""
        return await self.list_sessions(limit, offset, access_scope)

    async def assign_session_project_async(self, session_id: str, project_id: str) -> None:
        """See `assign_session_project`."""
        await self.assign_session_project(session_id, project_id)

    async def export_session_trace_async(self, session_id: str) -> str:
        """See `export_session_trace`."""
        return await self.export_session_trace(session_id)

    async def get_sampler_async(self, sampler_id: str) -> GetSamplerResponse:
        """See `get_sampler`."""
        return await self.get_sampler(sampler_id)

    async def get_audit_log_async(self, event_type: AuditEvents = "all", day: date | None = None) -> AuditLogResponse:
        """See `AdminClient.get_audit_log`."""
        return await self.get_audit_log(event_type, day)

    async def get_billing_usage_async(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> BillingUsageResponse:
        """See `AdminClient.get_billing_usage`."""
        return await self.get_billing_usage(starting_on, ending_before)

    async def get_current_checkpoint_storage_usage_async(
        self, project_id: str | None = None
    ) -> CurrentCheckpointStorageUsageResponse:
        """See `AdminClient.get_current_checkpoint_storage_usage`."""
        return await self.get_current_checkpoint_storage_usage(project_id)


def _checkpoint(training_run_id: str, checkpoint_id: str) -> dict[str, Any]:
    """A checkpoint as the generated functions address it."""
    kind, separator, name = checkpoint_id.partition("/")
    if not separator or not kind or not name:
        raise ValueError(f"a checkpoint id is <segment>/<name>, such as weights/0001; got {checkpoint_id!r}")
    return {"training_run_id": training_run_id, "checkpoint_kind": kind, "checkpoint_name": name}


def _path(tinker_path: str) -> dict[str, Any]:
    parsed = ParsedCheckpointTinkerPath.from_tinker_path(tinker_path)
    return _checkpoint(parsed.training_run_id, parsed.checkpoint_id)


def _expiry(text: str | None) -> datetime:
    """When a link ends, by its `Expires` header."""
    try:
        return parsedate_to_datetime(text or "")
    except ValueError:
        return datetime.now(UTC) + ARCHIVE_LIFETIME

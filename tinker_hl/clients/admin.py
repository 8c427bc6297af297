"""`AdminClient`: the audit log and what was used, for those who may see them. It needs no session."""

from datetime import date, datetime
from typing import Literal

from tinker_api.models import AuditEventType
from tinker_api.types import UNSET

from tinker_hl.clients.sessionless import SessionlessClient, parsed
from tinker_hl.futures import APIFuture
from tinker_hl.operations import get_audit_log, get_billing_usage, get_checkpoint_storage_usage
from tinker_hl.types import (
    AuditLogResponse,
    BillingUsageResponse,
    CurrentCheckpointStorageUsageResponse,
    GetBillingUsageRequest,
)
from tinker_hl.types.scalars import moment

__all__ = ["AdminClient", "AuditEvents"]

AuditEvents = Literal["all", "checkpoints", "projects", "teams", "organizations"]


class AdminClient(SessionlessClient):
    """See the module. Invariant: what cannot be a time raises at the call; the server's refusals come by the future."""

    def get_audit_log(self, event_type: AuditEvents = "all", day: date | None = None) -> APIFuture[AuditLogResponse]:
        """Who did what.

        Args:
            event_type: Which events.
            day: Only those of one day, UTC.
        """

        async def run() -> AuditLogResponse:
            # Large logs are answered by a redirect to a signed link.
            call = self._connection.call("AdminClient.get_audit_log", follow_redirects=True)
            answer = await self._connection.request(
                get_audit_log.asyncio_detailed,
                call,
                event_type=AuditEventType(event_type),
                day=UNSET if day is None else day,
            )
            return parsed(answer, AuditLogResponse)

        return APIFuture(run())

    def get_billing_usage(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> APIFuture[BillingUsageResponse]:
        """What was used, by the hour.

        Args:
            starting_on: A full hour.
            ending_before: A full hour, at most 14 days later.

        Raises:
            TypeError, ValueError: Neither a datetime nor ISO 8601 text.
        """
        hours = GetBillingUsageRequest(starting_on=moment(starting_on), ending_before=moment(ending_before))
        return self._get(
            "get_billing_usage",
            BillingUsageResponse,
            get_billing_usage.asyncio_detailed,
            starting_on=hours.starting_on,
            ending_before=hours.ending_before,
        )

    def get_current_checkpoint_storage_usage(
        self, project_id: str | None = None
    ) -> APIFuture[CurrentCheckpointStorageUsageResponse]:
        """What checkpoints take up now.

        Args:
            project_id: Only those of one project.
        """
        return self._get(
            "get_current_checkpoint_storage_usage",
            CurrentCheckpointStorageUsageResponse,
            get_checkpoint_storage_usage.asyncio_detailed,
            project_id=UNSET if project_id is None else project_id,
        )

    async def get_audit_log_async(self, event_type: AuditEvents = "all", day: date | None = None) -> AuditLogResponse:
        """See `get_audit_log`."""
        return await self.get_audit_log(event_type, day)

    async def get_billing_usage_async(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> BillingUsageResponse:
        """See `get_billing_usage`."""
        return await self.get_billing_usage(starting_on, ending_before)

    async def get_current_checkpoint_storage_usage_async(
        self, project_id: str | None = None
    ) -> CurrentCheckpointStorageUsageResponse:
        """See `get_current_checkpoint_storage_usage`."""
        return await self.get_current_checkpoint_storage_usage(project_id)

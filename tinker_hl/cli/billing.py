"""`tinker-hl billing`: what was used, by the hour, and what checkpoints take up. As a table, JSON or CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, note, print_json, print_records
from tinker_hl.cli.parameters import moment
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import MISSING, plural, size

if TYPE_CHECKING:
    from tinker_hl.types import BillingUsageEvent, CurrentCheckpointStorageUsageItem

__all__ = ["billing"]

CSV_PATH = click.Path(dir_okay=False, allow_dash=True)
USAGE: "tuple[Column[BillingUsageEvent], ...]" = (
    Column("Hour", lambda event: event.bucket_start.isoformat(timespec="minutes")),
    Column("Kind", lambda event: event.event_info.type),
    Column("Base Model", lambda event: event.base_model or MISSING),
    Column("Amount", lambda event: _amount(event), right=True),
    Column("Cost (USD)", lambda event: _money(event.estimated_cost_usd), right=True),
    Column("User", lambda event: event.user_name or event.user_id or MISSING),
    Column("Session", lambda event: event.session_id or MISSING),
)
STORAGE: "tuple[Column[CurrentCheckpointStorageUsageItem], ...]" = (
    Column("User", lambda item: item.user_name or item.user_email or item.org_user_urn or MISSING),
    Column("Project", lambda item: item.project_id or MISSING),
    Column("Checkpoints", lambda item: f"{item.checkpoint_count:,}", right=True),
    Column("Size", lambda item: size(item.size_bytes), right=True),
    Column("USD a Month", lambda item: _money(item.estimated_monthly_cost_usd), right=True),
)


@click.group()
@format_option
def billing() -> None:
    """See what was used, and what checkpoints take up."""


@billing.command()
@format_option
@click.argument("starting_on", type=moment)
@click.argument("ending_before", type=moment)
@click.option("--csv", "events_csv", type=CSV_PATH, metavar="FILE", help="Write the events as CSV; `-` is stdout.")
@click.option("--sessions-csv", type=CSV_PATH, metavar="FILE", help="Write what sessions said of themselves as CSV.")
@reaching
def usage(
    reach: Reach, starting_on: datetime, ending_before: datetime, events_csv: str | None, sessions_csv: str | None
) -> None:
    """Show what was used, by the hour.

    STARTING_ON and ENDING_BEFORE are full hours in UTC, such as 2026-08-01 or 2026-08-01T12:00, at most 14 days apart.
    """
    found = reach.wait(reach.admin().get_billing_usage(starting_on, ending_before))
    if events_csv:
        _write_csv(events_csv, [_flat(event) for event in found.data], "event")
    if sessions_csv:
        rows = [{"session_id": name, **(session.user_metadata or {})} for name, session in found.sessions.items()]
        _write_csv(sessions_csv, rows, "session")
    if events_csv or sessions_csv:
        return
    if form() == "json":
        print_json(found)
        return
    print_records(found.data, USAGE, name="data", nothing="Nothing was used in these hours.")
    if found.cost_data_through is not None:
        note(f"Costs are known up to {found.cost_data_through.isoformat()}.")


@billing.command(name="checkpoint-storage")
@format_option
@click.option("--project-id", metavar="ID", help="Only of one project.")
@click.option("--csv", "storage_csv", type=CSV_PATH, metavar="FILE", help="Write it as CSV; `-` is stdout.")
@reaching
def checkpoint_storage(reach: Reach, project_id: str | None, storage_csv: str | None) -> None:
    """Show what checkpoints take up now."""
    found = reach.wait(reach.admin().get_current_checkpoint_storage_usage(project_id))
    if storage_csv:
        _write_csv(storage_csv, [item.model_dump(mode="json") for item in found.data], "row")
    elif form() == "json":
        print_json(found)
    else:
        print_records(found.data, STORAGE, name="data", nothing="No checkpoints are stored.")
        rate = found.effective_rate_usd_per_gigabyte_month
        if form() == "table" and rate is not None:
            note(f"A gigabyte costs {rate:g} USD a month.")


def _flat(event: "BillingUsageEvent") -> dict[str, Any]:
    record = event.model_dump(mode="json")
    told: dict[str, Any] = record.pop("event_info")
    return {**record, **told}


def _write_csv(path: str, rows: Sequence[dict[str, Any]], what: str) -> None:
    """Write rows under the names of all their fields; what is not known is empty."""
    fields = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if path == "-":
        click.echo(text.getvalue(), nl=False)
    else:
        Path(path).write_text(text.getvalue(), encoding="utf-8")
    note(f"{plural(len(rows), what)} written as CSV.")


def _amount(event: "BillingUsageEvent") -> str:
    told = event.event_info
    for name, unit in (("token_count", "tokens"), ("count", "saved"), ("gigabyte_hours", "GB hours")):
        value = getattr(told, name, None)
        if value is not None:
            return f"{value:,} {unit}" if isinstance(value, int) else f"{value:.3g} {unit}"
    return MISSING


def _money(amount: float | None) -> str:
    return MISSING if amount is None else f"{amount:.4f}"

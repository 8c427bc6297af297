"""`tinker-hl probe`: calls every operation of a server, and says what it offers and where it deviates."""

from collections import Counter
from threading import Event
from typing import TYPE_CHECKING, Final

import click

from tinker_hl.cli.failures import FAILED
from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, note, print_json, print_record, print_records
from tinker_hl.cli.pages import progress
from tinker_hl.cli.reach import Reach, reaching

if TYPE_CHECKING:
    from tinker_hl.probing import Tried, Verdict

__all__ = ["probe"]

SECONDS: Final = 900.0
"""How long all of it may take, if --timeout is no longer."""
OPERATIONS: "tuple[Column[Tried], ...]" = (
    Column("Operation", lambda tried: tried.operation),
    Column("Outcome", lambda tried: tried.outcome),
    Column("Detail", lambda tried: tried.detail, wraps=True),
)
VERDICTS: "tuple[Column[Verdict], ...]" = (
    Column("No.", lambda verdict: verdict.number),
    Column("Found", lambda verdict: verdict.found),
    Column("What is right", lambda verdict: verdict.right, wraps=True),
    Column("Detail", lambda verdict: verdict.detail or "-", wraps=True),
)


@click.command()
@format_option
@click.option("--model", metavar="NAME", help="A base model of the server.  [default: its first trainable one]")
@reaching
def probe(reach: Reach, model: str | None) -> int:
    """Call every operation of a server, and say what it offers. The exit code is 1 if anything is missing or deviates.

    It makes a session, two models of rank 1 and a few checkpoints, and deletes what it saved; it asks for no key to be
    deleted. S1 to S9 are deviations that have stopped clients before.
    """
    from tinker_hl.connection import Connection
    from tinker_hl.futures import APIFuture
    from tinker_hl.probing import OPERATIONS as KNOWN
    from tinker_hl.probing import probe_operations, verdicts

    name = model or _first_model(reach)
    tried: dict[str, Tried] = {}

    interrupted = Event()

    def told(one: "Tried") -> None:
        tried[one.operation] = one
        if not interrupted.is_set():  # what was saved is still being deleted
            progress(f"{len(tried)} of {len(KNOWN)}: {one.operation}")

    async def asked() -> "list[Verdict]":
        connection = Connection(reach.base_url, reach.api_key)
        try:
            probed = await probe_operations(connection, name, told)
            return await verdicts(probed, tried)
        finally:
            await connection.aclose()

    try:
        found = Reach(timeout=max(reach.timeout, SECONDS)).wait(APIFuture(asked()))
    except KeyboardInterrupt:
        interrupted.set()
        raise
    progress("")
    operations = [tried[operation] for operation in KNOWN]
    if form() == "json":
        print_json({"model": name, "operations": operations, "verdicts": found})
    elif form() == "jsonl":
        for record in (*operations, *found):
            print_record(record, [])
    else:
        print_records(operations, OPERATIONS, name="operations", nothing="")
        click.echo("")
        print_records(found, VERDICTS, name="verdicts", nothing="")
    counts = Counter(one.outcome for one in operations)
    deviating = sum(verdict.found == "deviates" for verdict in found)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    note(f"{len(operations)} operations with {name}: {said}; {deviating} deviations.")
    return FAILED if deviating or counts["missing"] or counts["failed"] or counts["refused"] else 0


def _first_model(reach: Reach) -> str:
    """One that can be trained, if the server says so of any."""
    models = reach.wait(reach.rest().get_server_capabilities()).supported_models
    names = [model.model_name for model in sorted(models, key=lambda one: one.trainable is False) if model.model_name]
    if not names:
        raise click.ClickException("the server offers no base model; name one with --model")
    return names[0]

"""`tinker-hl plan`: tokens, bytes and requests of a data file, before any of it is sent."""

from pathlib import Path

import click

from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import note, print_record
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import plural, size

__all__ = ["plan"]


@click.command()
@format_option
@click.argument("data", metavar="DATA.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", metavar="NAME", help="Whose tokenizer reads pairs of texts: a base model, a folder.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Datums of a step.  [default: all in one]")
@click.option("--max-items", type=click.IntRange(min=1), default=1024, show_default=True, help="Of a request.")
@click.option("--max-bytes", type=click.IntRange(min=1), default=5_000_000, show_default=True, help="Of a request.")
@reaching
def plan(reach: Reach, data: Path, model: str | None, batch_size: int | None, max_items: int, max_bytes: int) -> None:
    """Tell what one pass over DATA.jsonl is on the wire.

    That is: tokens, bytes, and the requests in which it is cut. Its lines are datums, or pairs of texts as `train`
    reads them. Nothing is sent; `lint` tells what is wrong with it.
    """
    from tinker_hl.cli.model_facts import model_facts
    from tinker_hl.linting import read_rows
    from tinker_hl.recipes.pairs import DataFileError
    from tinker_hl.sending_plan import plan_sending

    rows = list(read_rows(data, model_facts(reach, model).tokenizer))
    faulty = next((row for row in rows if row.datum is None), None)
    if faulty is not None:
        raise DataFileError(data, str(faulty.fault), line=faulty.line, hint="`tinker-hl lint` shows all that is wrong.")
    datums = [row.datum for row in rows if row.datum is not None]
    if not datums:
        raise DataFileError(data, "nothing in it")
    found = plan_sending(datums, batch_size=batch_size, max_items=max_items, max_bytes=max_bytes)
    shown = [
        ("Datums", f"{found.datums:,}"),
        ("Tokens", f"{found.tokens:,} ({found.counted_tokens:,} counted by the loss)"),
        ("Tokens a datum", f"{found.shortest:,} to {found.longest:,}, median {found.median:,g}"),
        ("Bytes", size(found.size_bytes)),
        ("Steps", f"{found.steps:,}, of {plural(found.batch_size, 'datum')}" + (" at most" if found.steps > 1 else "")),
        ("Requests", f"{found.requests:,}, {found.most_requests_a_step:,} a step at most"),
        ("Largest request", size(found.largest_request_bytes)),
    ]
    print_record(found, shown)
    if found.oversized:
        lines = ", ".join(str(rows[place].line) for place in found.oversized[:5])
        more = f" and {len(found.oversized) - 5:,} more" if len(found.oversized) > 5 else ""
        note(f"Larger than a request may be, so that it travels alone and may be refused: line {lines}{more}.")

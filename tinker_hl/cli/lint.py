"""`tinker-hl lint`: what is wrong with a data file, line by line, before any of it is sent."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tinker_hl.cli.failures import FAILED
from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import Column, note, print_records
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import plural

if TYPE_CHECKING:
    from tinker_hl.linting import Finding

__all__ = ["lint"]

SHOWN: Final = 10
"""Findings of one rule in a table; the other forms have all."""
COLUMNS: "tuple[Column[Finding], ...]" = (
    Column("Line", lambda finding: str(finding.line), right=True),
    Column("Severity", lambda finding: finding.severity),
    Column("Rule", lambda finding: finding.rule),
    Column("What", lambda finding: finding.message, wraps=True),
)


@click.command()
@format_option
@click.argument("data", metavar="DATA.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", metavar="NAME", help="For vocabulary, context and pairs of texts: a base model, a folder.")
@click.option("--loss-fn", metavar="NAME", help="The loss that it is for, such as cross_entropy or ppo.")
@click.option("--vocab-size", type=click.IntRange(min=1), help="Ids must be below it.  [default: the model's]")
@click.option("--max-length", type=click.IntRange(min=1), help="Tokens of a datum at most.  [default: the model's]")
@click.option("--strict", is_flag=True, help="End with exit code 1 for a warning, too.")
@reaching
def lint(
    reach: Reach,
    data: Path,
    model: str | None,
    loss_fn: str | None,
    vocab_size: int | None,
    max_length: int | None,
    strict: bool,
) -> int:
    """Look for what is wrong with DATA.jsonl, before it is sent.

    That is: shapes, dtypes, NaN, targets that are not shifted by one, ids beyond the vocabulary, weights that are all
    0, lines that are there twice. A line is a datum as `Datum.model_dump_json()` writes it, or a pair of texts as
    `train` reads it. The exit code is 1 if there is an error.
    """
    from tinker_hl.cli.model_facts import model_facts
    from tinker_hl.linting import lint_rows, read_rows
    from tinker_hl.recipes.pairs import DataFileError

    facts = model_facts(reach, model)
    rows = list(read_rows(data, facts.tokenizer))
    if not rows:
        raise DataFileError(data, "nothing in it")
    found = list(
        lint_rows(
            rows,
            loss_fn=loss_fn,
            vocabulary_size=vocab_size or facts.vocabulary_size,
            max_length=max_length or facts.max_length,
        )
    )
    counts = Counter(finding.severity for finding in found)
    shown, left_out = _few_of_each(found) if form() == "table" else (found, {})
    more = {"path": str(data), "datums": len(rows), "errors": counts["error"], "warnings": counts["warning"]}
    print_records(shown, COLUMNS, name="findings", nothing="Nothing is wrong.", more=more)
    for rule, count in left_out.items():
        note(f"{plural(count, 'more finding')} of the rule {rule}; --format jsonl shows all.")
    said = ", ".join(plural(counts[name], name) for name in ("error", "warning", "note"))
    note(f"{plural(len(rows), 'line')}: {said}.")
    if (vocab_size or facts.vocabulary_size) is None:
        note("Ids were not held against a vocabulary: give --model or --vocab-size.")
    return FAILED if counts["error"] or (strict and counts["warning"]) else 0


def _few_of_each(found: "list[Finding]") -> "tuple[list[Finding], dict[str, int]]":
    """The first findings of each rule, and how many more it has."""
    counts: Counter[str] = Counter()
    shown = []
    for finding in found:
        counts[finding.rule] += 1
        if counts[finding.rule] <= SHOWN:
            shown.append(finding)
    return shown, {rule: count - SHOWN for rule, count in counts.items() if count > SHOWN}

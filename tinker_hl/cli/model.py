"""`tinker-hl model`: the base models that a server offers."""

from typing import TYPE_CHECKING

import click

from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import Column, print_records
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import MISSING, plural, yes_or_no

if TYPE_CHECKING:
    from tinker_hl.types.models import SupportedModel

__all__ = ["model"]

COLUMNS: "tuple[Column[SupportedModel], ...]" = (
    Column("Model", lambda model: model.model_name or MISSING),
    Column(
        "Max Context", lambda model: f"{model.max_context_length:,}" if model.max_context_length else "-", right=True
    ),
    Column("Trainable", lambda model: yes_or_no(model.trainable)),
    Column("Sampleable", lambda model: yes_or_no(model.sampleable)),
)


@click.group()
@format_option
def model() -> None:
    """See which base models the server has."""


@model.command(name="list")
@format_option
@click.argument("substring", required=False)
@reaching
def list_models(reach: Reach, substring: str | None) -> None:
    """List the base models, or those with SUBSTRING in their names."""
    models = reach.wait(reach.rest().get_server_capabilities()).supported_models
    found = [model for model in models if (substring or "").lower() in (model.model_name or "").lower()]
    if substring and not found:
        raise click.ClickException(
            f"no model has {substring!r} in its name; the server offers {plural(len(models), 'model')}"
        )
    print_records(found, COLUMNS, name="models", nothing="The server offers no models.")

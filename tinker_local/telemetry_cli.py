"""`tinker-hl telemetry`: what the client of a session reported, read from a data folder, served or not."""

from pathlib import Path

import click
import orjson

from tinker_local.printing import form, format_option
from tinker_local.settings import DATABASE_FILE, default_data_dir

__all__ = ["telemetry"]


@click.command()
@format_option
@click.argument("session")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_data_dir,
    help="Of the service.  [default: ~/.tinker-hl/local]",
)
def telemetry(session: str, data_dir: Path) -> None:
    """Print what the client of SESSION reported.

    It is one JSON object a line, the oldest first; with --format json it is one document. A local service keeps reports
    for a week.
    """
    from tinker_local.store.records import Records

    database = data_dir.expanduser() / DATABASE_FILE
    if not database.is_file():
        raise click.ClickException(f"there is no service's data in {database.parent}; give its --data-dir")
    records = Records(database)
    try:
        reports = records.telemetry_of(session)
    finally:
        records.close()
    if not reports:
        raise click.ClickException(f"no reports of session {session} are kept")
    events = [event for report in reports for event in orjson.loads(report)["events"]]
    if form() == "json":
        click.echo(orjson.dumps({"events": events}, option=orjson.OPT_INDENT_2))
        return
    for event in events:
        click.echo(orjson.dumps(event))

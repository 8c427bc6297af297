"""What may stand on the line: checkpoint paths, times, pairs of words.

Each function is the `type` of an argument or an option; what it refuses is refused before anything is sent.
"""

from datetime import UTC, datetime

import click

__all__ = ["moment", "pair", "tinker_path"]


def tinker_path(value: str) -> str:
    """`tinker://<run>/<segment>/<name>`."""
    from tinker_hl.types.runs import ParsedCheckpointTinkerPath  # not for `--help`

    try:
        return ParsedCheckpointTinkerPath.from_tinker_path(value).tinker_path
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(value: str) -> datetime:
    """ISO 8601; without a zone it is UTC's."""
    try:
        given = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time; write 2026-08-01 or 2026-08-01T12:00:00Z") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def pair(value: str) -> tuple[str, str]:
    """`NAME=VALUE`."""
    name, separator, text = value.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"{value!r} is not NAME=VALUE")
    return name, text

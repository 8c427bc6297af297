"""Labels that callers give to their things: kept as they are, and therefore short."""

import orjson

from tinker_local.errors import invalid
from tinker_local.handlers.call import Call

__all__ = ["check_labels"]

_LABELS = ("user_metadata", "tags", "display_name", "project_id", "destination_project_id", "sdk_version")


def check_labels(call: Call) -> None:
    """Raises `ApiError` 422, naming the label, if the body has one that is too long to be kept."""
    most = call.service.settings.max_metadata_bytes
    for name in _LABELS:
        size = len(orjson.dumps(call.body[name])) if call.body.get(name) is not None else 0
        if size > most:
            raise invalid(
                ("body", name), f"it has {size} bytes as JSON, more than max_metadata_bytes, {most}", "maximum"
            )

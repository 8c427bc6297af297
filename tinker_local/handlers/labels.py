"""Labels that callers give to their things: kept as they are, and therefore short."""

from collections.abc import Mapping
from typing import Any

import orjson

from tinker_local.errors import invalid
from tinker_local.handlers.call import Call

__all__ = ["as_texts", "check_labels"]

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


def as_texts(metadata: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Free-form labels as answers carry them: texts. What is no text is told as its JSON, which any language reads."""
    if metadata is None:
        return None
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in metadata.items()}

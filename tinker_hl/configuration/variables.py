"""The names of environment variables: which the client knows, and what to say of one that it does not.

It reads none of their values.
"""

import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["KNOWN", "WITHOUT_EFFECT", "notes_on", "warn_of_unknown"]

OWN_PREFIX: Final = "TINKER_HL_"
"""What this project's own processes tell each other, and its service reads."""
WATCHED: Final = ("TINKER_", "TINKEX_")

KNOWN: Final = frozenset(
    {
        "TINKER_API_KEY",
        "TINKER_BASE_URL",
        "TINKER_CREDENTIAL_CMD",
        "TINKER_DEFAULT_HEADERS",
        "TINKER_DEFAULT_QUERY",
        "TINKER_DUMP_HEADERS",
        "TINKER_FEATURE_GATES",
        "TINKER_LOG",
        "TINKER_MAX_CONNECTIONS",
        "TINKER_MAX_RETRIES",
        "TINKER_OTEL_PROPAGATE",
        "TINKER_PARITY",
        "TINKER_POLL_BACKOFF",
        "TINKER_PROGRESS",
        "TINKER_PROJECT_ID",
        "TINKER_PROXY",
        "TINKER_PROXY_HEADERS",
        "TINKER_TAGS",
        "TINKER_TELEMETRY",
        "TINKER_TELEMETRY_FILE",
        "TINKER_TIMEOUT",
        "TINKER_TRUST_REMOTE_CODE",
        "TINKEX_DEFAULT_HEADERS",
        "TINKEX_DEFAULT_QUERY",
        "TINKEX_DUMP_HEADERS",
        "TINKEX_MAX_RETRIES",
        "TINKEX_OTEL_PROPAGATE",
        "TINKEX_PARITY",
        "TINKEX_POLL_BACKOFF",
        "TINKEX_POOL_COUNT",
        "TINKEX_POOL_SIZE",
        "TINKEX_PROXY",
        "TINKEX_PROXY_HEADERS",
        "TINKEX_TIMEOUT",
    }
)
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "TINKER_SUBPROCESS_SAMPLING": "sampling needs no process of its own here",
    "TINKEX_HTTP_CLIENT": "ServiceClient(transport=...) is how requests travel another way",
    "TINKEX_HTTP_POOL": "ServiceClient(transport=...) is how requests travel another way",
}
"""Variables of other clients that mean nothing here, with what to do instead."""
CLOSE_ENOUGH: Final = 0.75

logger = logging.getLogger("tinker_hl")
_told: set[str] = set()


def notes_on(names: Iterable[str]) -> dict[str, str]:
    """What to say of each variable that has no effect; those that have one, and those of others, are left out."""
    watched = (name for name in names if name.startswith(WATCHED) and not name.startswith(OWN_PREFIX))
    return {name: _note(name) for name in sorted(watched) if name not in KNOWN}


def warn_of_unknown(names: Iterable[str]) -> None:
    """Log a warning for each variable that has no effect, once in a process."""
    for name, note in notes_on(names).items():
        if name not in _told:
            _told.add(name)
            logger.warning("the environment variable %s has no effect: %s", name, note)


def _note(name: str) -> str:
    if name in WITHOUT_EFFECT:
        return WITHOUT_EFFECT[name]
    close = difflib.get_close_matches(name, KNOWN, n=1, cutoff=CLOSE_ENOUGH)
    return f"did you mean {close[0]}?" if close else "no setting has this name"

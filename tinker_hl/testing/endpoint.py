"""The name of an endpoint, whatever ids its path holds: what plans point at and recordings sort by."""

from urllib.parse import urlsplit

__all__ = ["endpoint_of"]

ROOT = "/api/v1/"
# Every word that stands in a path of the API as itself; anything else in a path of several parts is somebody's id.
_TEXT = """
apikey archive audit auth billing checkpoints client config current dynamic_config events external_weights_urls
finish me project publish samplers search sessions token trace_export training_runs ttl usage
"""
_WORDS = frozenset(_TEXT.split())


def endpoint_of(url: str) -> str:
    """The path below `/api/v1/` with `*` for each id, as in `optim_step` or `sessions/*/finish`.

    Args:
        url: A URL or a path. One that is not the API's is given back as its path.
    """
    path = urlsplit(url).path
    _, found, below = path.partition(ROOT)
    if not found:
        return path
    parts = below.split("/")
    if len(parts) == 1:
        return below
    return "/".join(part if part in _WORDS else "*" for part in parts)

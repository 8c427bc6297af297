"""The official SDK's words for options of one HTTP request, for code that names them in its annotations.

No public call takes them, in neither SDK; `tinker_hl.call_options` and `RetryPolicy` are what changes a call here.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypedDict

__all__ = ["NOT_GIVEN", "NotGiven", "Omit", "RequestOptions"]


class RequestOptions(TypedDict, total=False):
    """Options of one request."""

    headers: Mapping[str, str]
    max_retries: int
    timeout: float | None
    params: Mapping[str, object]
    extra_json: Mapping[str, object]
    idempotency_key: str
    follow_redirects: bool


class NotGiven:
    """Says that an argument was left out, where None is a value. Every one is false."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


class Omit:
    """Says that a default is to be left out. Every one is false."""

    def __bool__(self) -> Literal[False]:
        return False


NOT_GIVEN: Final = NotGiven()

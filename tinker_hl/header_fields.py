"""HTTP headers as a dict whose names may be written in any case, as HTTP has it.

It knows no HTTP library, and nothing of what the headers mean.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["HeaderFields"]


class HeaderFields(dict[str, str]):
    """Header name -> value. Invariant: names are kept in lower case, and found in any."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        super().__init__({name.lower(): value for name, value in dict(fields or {}).items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default."""
        return super().get(name.lower(), default)

    def __reduce__(self) -> tuple[Any, ...]:
        return HeaderFields, (dict(self),)

"""Tagged records of kinds that this client does not know, so that a newer service does not break it."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import attrs

from tinker_hl.types.record import Record

__all__ = ["OpenRecord", "Unrecognized"]


class OpenRecord(Record):
    """A tagged record whose other fields this client does not know; they are kept, can be read, and are sent."""

    __slots__ = ()
    type: str
    extra: dict[str, Any]

    def _fields(self) -> dict[str, Any]:
        return {"type": self.type, **self.extra}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced or added."""
        fields = copy.deepcopy(self._fields()) if deep else self._fields()
        return type(self)(**(fields | dict(update or {})))

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is no field. `extra` itself is missing while a copy or a pickle is being rebuilt.
        if name != "extra" and name in self.extra:
            return self.extra[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")


@attrs.frozen(init=False)
class Unrecognized(OpenRecord):
    """A variant that a newer service has added: its tag is `type`."""

    type: str
    extra: dict[str, Any] = attrs.field(factory=dict)

    def __init__(self, *, type: str, **extra: Any) -> None:  # the wire's name
        self.__attrs_init__(type, extra)

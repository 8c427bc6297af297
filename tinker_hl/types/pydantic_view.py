"""What is read of pydantic's models beside their values, answered for records: `model_fields` and what is in it.

It knows attrs, and nothing of particular types; pydantic itself is not imported.
"""

from typing import Any

import attrs

__all__ = ["FieldDescription", "FieldsOfClass"]


@attrs.frozen(kw_only=True)
class FieldDescription:
    """One field, as pydantic's `FieldInfo` describes one."""

    default: Any
    """`attrs.NOTHING` where there is none, or where each record is given one of its own (`default_factory`)."""
    default_factory: Any = None
    annotation: Any = None

    @property
    def type(self) -> Any:
        """The annotation, by the name that attrs has for it."""
        return self.annotation

    def is_required(self) -> bool:
        """Whether the constructor must be given it."""
        return self.default is attrs.NOTHING and self.default_factory is None

    @classmethod
    def of(cls, field: "attrs.Attribute[Any]") -> "FieldDescription":
        """The same of attrs' own description."""
        default: Any = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, whatever its stub says
            return cls(default=attrs.NOTHING, default_factory=default.factory, annotation=field.type)
        return cls(default=default, annotation=field.type)


class FieldsOfClass:
    """`model_fields` of a class: name -> `FieldDescription`."""

    def __get__(self, instance: object, owner: type) -> dict[str, FieldDescription]:
        known = attrs.fields(owner) if attrs.has(owner) else ()
        return {field.alias or field.name: FieldDescription.of(field) for field in known}

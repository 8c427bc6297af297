"""What every codec raises for data that is not of its type; apart, so that naming it loads no codec."""

__all__ = ["StructureError"]


class StructureError(ValueError):
    """The data does not fit the type; the message has the type, and the place and fault of each field."""

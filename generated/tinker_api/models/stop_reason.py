from enum import StrEnum


class StopReason(StrEnum):
    LENGTH = "length"
    STOP = "stop"

    @classmethod
    def _missing_(cls, value: object) -> "StopReason | None":
        """Let a newer server's value in: equal to its text and to nothing declared here."""
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = "UNKNOWN"
        unknown._value_ = value
        return unknown

    def __str__(self) -> str:
        return str(self.value)

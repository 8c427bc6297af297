from enum import StrEnum


class LossFnType(StrEnum):
    CISPO = "cispo"
    CROSS_ENTROPY = "cross_entropy"
    CUSTOM = "custom"
    DRO = "dro"
    GSPO = "gspo"
    IMPORTANCE_SAMPLING = "importance_sampling"
    PPO = "ppo"
    STABLE_REINFORCE = "stable_reinforce"

    @classmethod
    def _missing_(cls, value: object) -> "LossFnType | None":
        """Let a newer server's value in: equal to its text and to nothing declared here."""
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = "UNKNOWN"
        unknown._value_ = value
        return unknown

    def __str__(self) -> str:
        return str(self.value)

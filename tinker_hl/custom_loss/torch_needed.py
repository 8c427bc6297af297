"""Finds out at the call, and not in its middle, that torch is not installed."""

from tinker_hl.errors import ConfigurationError

__all__ = ["TorchMissingError", "require_torch"]


class TorchMissingError(ConfigurationError, ImportError):
    """A custom loss was asked for where torch is not installed; an `ImportError` too, as the official SDK raises."""

    default_hint = "Install it with: pip install 'tinker-hl[torch]'"


def require_torch() -> None:
    """Raise now if torch cannot be imported."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TorchMissingError("a custom loss needs torch, which is not installed") from error

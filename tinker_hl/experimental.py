"""How calls are marked whose endpoint the hosted service may still change."""

__all__ = ["ExperimentalWarning"]


class ExperimentalWarning(FutureWarning):
    """The call may change in any release. Silence it with `warnings.filterwarnings`, by this category."""

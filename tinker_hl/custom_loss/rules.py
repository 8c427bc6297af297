"""The rules of a custom loss, by name: `CustomLossError.rule` is one of these. docs/custom-losses.md explains them."""

from enum import StrEnum

__all__ = ["Rule"]


class Rule(StrEnum):
    """One rule; the value is what an error and the docs call it."""

    # Of every custom loss.
    CALLABLE = "is a function"
    NOT_ASYNC = "is not async"
    RETURNS = "returns (loss, metrics)"
    SCALAR = "has a scalar loss"
    REAL = "has a loss of real numbers"
    GRADIENT = "depends on the logprobs"
    METRICS = "has numbers for metrics"
    ENDS = "ends in a result or an error"

    # Of a loss that is traced.
    PLAIN_FUNCTION = "is a plain function"
    PARAMETERS = "takes logprobs, then inputs by name"
    RANKS = "declares the rank of each input"
    TRACEABLE = "can be traced by torch.fx"
    NO_MODULES = "calls no modules"
    NO_TENSORS = "captures no tensors"
    FUNCTIONS = "calls functions of torch, math and operator"
    METHODS = "stays in torch"
    METRIC_NAMES = "names metrics custom/<name>:sum or custom/<name>:mean"
    ARGUMENTS = "has arguments that can be sent"
    ONCE = "is created once a session"
    OWN_SESSION = "is used in its own session"

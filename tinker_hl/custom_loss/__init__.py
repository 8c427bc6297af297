"""Losses of the user's own: computed with torch on this machine, or traced and handed to a service that runs them.

`surrogate` differentiates a loss between two ordinary passes; `tracing`, `graph_encoding` and `creation` make a
`LossHandle` of a loss of single datums; `per_datum` runs such a handle here. torch is imported on use, not before.
"""

from tinker_hl.custom_loss.handle import LossHandle, PerDatumLossFn
from tinker_hl.custom_loss.surrogate import CustomLossFn

__all__ = ["CustomLossFn", "LossHandle", "PerDatumLossFn"]

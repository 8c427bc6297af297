"""The shape of an adapter."""

import attrs

from tinker_hl.types.record import Record
from tinker_hl.types.scalars import flag, whole, whole_or_none

__all__ = ["LoraConfig"]


@attrs.frozen(kw_only=True)
class LoraConfig(Record):
    """A LoRA adapter (Hu et al. 2021): rank, and which layers have one.

    Args:
        rank: above 0.
        seed: of the initial values; None is random.
        train_unembed: adapt the output layer.
        train_mlp: adapt the feed-forward layers, experts included.
        train_attn: adapt the attention layers.
    """

    rank: int = attrs.field(converter=whole, validator=attrs.validators.gt(0))
    seed: int | None = attrs.field(default=None, converter=whole_or_none)
    train_unembed: bool = attrs.field(default=True, converter=flag)
    train_mlp: bool = attrs.field(default=True, converter=flag)
    train_attn: bool = attrs.field(default=True, converter=flag)

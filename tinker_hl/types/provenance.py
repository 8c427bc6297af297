"""Where the tokens of a datum came from: ranges of sequences that were sampled in the same session."""

from typing import TypeAlias

import attrs

from tinker_hl.types.dataclass_view import DataclassView
from tinker_hl.types.record import Record
from tinker_hl.types.scalars import whole

__all__ = ["PromptProvenanceSpan", "ProvenanceSpan", "ProvenanceSpans", "SampledProvenanceSpan"]

_not_negative = attrs.validators.ge(0)


@attrs.frozen(kw_only=True)
class PromptProvenanceSpan(DataclassView, Record):
    """The covered positions equal positions [offset, offset + length) of that sequence's prompt."""

    sequence_id: str = attrs.field(validator=attrs.validators.min_len(1))
    offset: int = attrs.field(default=0, converter=whole, validator=_not_negative)
    length: int = attrs.field(converter=whole, validator=_not_negative)


@attrs.frozen(kw_only=True)
class SampledProvenanceSpan(DataclassView, Record):
    """The covered positions equal positions [offset, offset + length) of what was sampled for that sequence."""

    sequence_id: str = attrs.field(validator=attrs.validators.min_len(1))
    offset: int = attrs.field(default=0, converter=whole, validator=_not_negative)
    length: int = attrs.field(converter=whole, validator=_not_negative)


ProvenanceSpan: TypeAlias = PromptProvenanceSpan | SampledProvenanceSpan
ProvenanceSpans: TypeAlias = list[ProvenanceSpan]

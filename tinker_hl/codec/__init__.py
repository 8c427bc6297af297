"""Public types to and from the bytes of the wire, one module a form; no network here."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from tinker_hl.codec.pieces import EncodedDatum, Pieces
    from tinker_hl.types import Datum, ForwardBackwardOutput, SampleResponse

__all__ = ["Codec", "codec_of"]


class Codec(Protocol):
    """What the modules `json` and `proto` have in common; each function is described there."""

    def encode_datum(self, datum: "Datum") -> "EncodedDatum":
        """One example, encoded."""
        ...

    def forward_backward_body(
        self,
        model_id: str,
        seq_id: int,
        encoded: "Sequence[EncodedDatum]",
        loss_fn: str,
        loss_fn_config: Mapping[str, float | str] | None = None,
        *,
        forward_only: bool = False,
    ) -> "Pieces":
        """The body of a pass."""
        ...

    def decode_forward_backward_output(self, content: bytes) -> "ForwardBackwardOutput":
        """The result of a pass."""
        ...

    def decode_sample_response(
        self, content: bytes, sequence_ids: Sequence[str | None] | None = None, prompt_length: int | None = None
    ) -> "SampleResponse":
        """Samples."""
        ...


def codec_of(*, protobuf: bool) -> Codec:
    """The codec of one form, loaded when it is first asked for: protobuf's classes and cattrs are not small."""
    return cast(Codec, import_module(f"tinker_hl.codec.{'proto' if protobuf else 'json'}"))

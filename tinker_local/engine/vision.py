"""Images for models that read them: what an image is to the text decoder, and where it stands in a row of tokens.

An image becomes a span of tokens, some of which are places for vectors that the model's vision tower made of it; the
rest (as the row ends that some processors write) are ordinary tokens. Whether a model can be served so is found out by
trying: the decoder over spans must give the logits that the whole model gives. Models that do more with an image than
that (positions in two dimensions, attention in both directions) do not agree and are served for text alone.

Letters: n tokens of a span, k of them vectors, H width of the decoder.
"""

import hashlib
import io
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import torch
import transformers
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from tinker_local.engine.protocol import ImageInput, UserFaultError

__all__ = ["ImageReader", "Placement", "check_images", "embed", "find_reader", "place_images"]

logger = logging.getLogger(__name__)

MAX_PIXELS: Final = 50_000_000
"""An image this large is refused before it is unpacked."""
_REMEMBERED: Final = 64
"""Images whose vectors are kept: samples and passes over one image follow each other."""
_FORMATS: Final = ("PNG", "JPEG")
_NOT_PIXELS: Final = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
_TOLERANCE: Final = 1e-3


@attrs.frozen(eq=False)
class _Span:
    """One image as the decoder reads it."""

    tokens: Tensor
    """[n], int64; 0 where a vector stands."""
    places: Tensor
    """[k], int64, within the span."""
    vectors: Tensor
    """[k, H]."""


@attrs.frozen(eq=False)
class Placement:
    """An image's vectors in a batch of rows."""

    row: int
    columns: Tensor
    """[k], int64."""
    vectors: Tensor
    """[k, H]."""


class ImageReader:
    """Reads images with one model's own processor and vision tower. It remembers the last few."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self._image_token: int = processor.image_token_id
        self._remembered: OrderedDict[bytes, _Span] = OrderedDict()

    def span(self, data: bytes) -> _Span:
        """An image as a span.

        Args:
            data: a PNG or JPEG file.

        Raises:
            UserFaultError: it is neither, or too large.
        """
        key = hashlib.blake2b(data, digest_size=16).digest()
        found = self._remembered.pop(key, None)
        self._remembered[key] = found if found is not None else self._read(_opened(data))
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return self._remembered[key]

    def inputs(self, image: Image.Image) -> Mapping[str, Any]:
        """What the model's forward takes for a text that is one image."""
        made: Mapping[str, Any] = self._processor(
            images=[image], text=self._processor.image_token, add_special_tokens=False, return_tensors="pt"
        )
        return made

    @torch.no_grad()
    def _read(self, image: Image.Image) -> _Span:
        inputs = self.inputs(image)
        tokens = inputs["input_ids"][0].to(torch.int64)
        places = (tokens == self._image_token).nonzero().squeeze(1)
        pixels = {name: _on(value, self._model) for name, value in inputs.items() if name not in _NOT_PIXELS}
        features = self._model.get_image_features(**pixels)
        features = getattr(features, "pooler_output", features)
        parts = list(features) if isinstance(features, list | tuple) else [features]
        vectors = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
        if len(vectors) != len(places):
            raise ValueError(f"{len(vectors)} vectors for {len(places)} places")
        device = self._model.device
        return _Span(tokens.masked_fill(tokens == self._image_token, 0).to(device), places.to(device), vectors)


def _on(value: Any, model: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise UserFaultError(f"an image has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
        return image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UserFaultError(f"an image could not be read as PNG or JPEG: {error}") from error


def find_reader(
    model: Any, directory: Path, decoder: Callable[..., Any] | None, head: nn.Module | None
) -> ImageReader | None:
    """A reader for a model whose images are spans for its decoder; None for others, whose reason is logged."""
    if decoder is None or head is None or not hasattr(model, "get_image_features"):
        return None
    try:
        processor = transformers.AutoProcessor.from_pretrained(directory)
        reader = ImageReader(model, processor)
        agrees = _agrees(reader, model, decoder, head)
    except Exception as error:  # third-party code of any quality: whatever is wrong, the model still reads text
        logger.warning("%s is served without images: %s: %s", directory.name, type(error).__name__, error)
        return None
    if not agrees:
        logger.warning("%s is served without images: it does more with them than placing vectors", directory.name)
        return None
    return reader


@torch.no_grad()
def _agrees(reader: ImageReader, model: Any, decoder: Callable[..., Any], head: nn.Module) -> bool:
    """Whether an image and a token after it get the whole model's logits."""
    image = Image.linear_gradient("L").resize((48, 36)).convert("RGB")
    inputs = {name: _on(value, model) for name, value in reader.inputs(image).items()}
    after = torch.tensor([[1, 2]], device=model.device)
    tokens = torch.cat([inputs.pop("input_ids"), after], dim=1)
    for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], torch.full_like(after, int(name == "attention_mask"))], dim=1)
    whole = model(input_ids=tokens, **inputs, use_cache=False).logits
    data = io.BytesIO()
    image.save(data, "PNG")
    span = reader.span(data.getvalue())
    row = torch.cat([span.tokens.unsqueeze(0), after], dim=1)
    embedded = embed(model, row, [Placement(0, span.places, span.vectors)])
    states = decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
    return torch.allclose(head(states), whole, rtol=_TOLERANCE, atol=_TOLERANCE)


def embed(model: Any, tokens: Tensor, placements: Sequence[Placement]) -> Tensor:
    """Embeddings [B, T, H] of tokens [B, T], with the vectors of images in their places."""
    embedded: Tensor = model.get_input_embeddings()(tokens).clone()
    for placement in placements:
        embedded[placement.row, placement.columns] = placement.vectors.to(embedded.dtype)
    return embedded


def check_images(reader: ImageReader | None, images: Sequence[ImageInput]) -> None:
    """Refuse images that cannot be placed, before anything is computed.

    Raises:
        UserFaultError: the model reads no images, one cannot be read, or takes another number of positions.
    """
    if images and reader is None:
        raise UserFaultError("the model reads text alone, and the input has an image")
    for image in images:
        assert reader is not None
        size = len(reader.span(image.data.tobytes()).tokens)
        if size != image.length:
            raise UserFaultError(
                f"the image at position {image.start} has expected_tokens {image.length}, and takes {size}; give {size}"
            )


def place_images(reader: ImageReader | None, tokens: Tensor, images: Sequence[Sequence[ImageInput]]) -> list[Placement]:
    """Write the spans of images into rows of tokens.

    Args:
        reader: the model's.
        tokens: [B, T], int64; changed.
        images: of each row; checked.

    Returns:
        Where the vectors stand.
    """
    placements = []
    for row, those in enumerate(images):
        for image in those:
            assert reader is not None
            span = reader.span(image.data.tobytes())
            tokens[row, image.start : image.start + image.length] = span.tokens
            placements.append(Placement(row, span.places + image.start, span.vectors))
    return placements

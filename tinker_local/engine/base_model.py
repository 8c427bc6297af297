"""A base model: its frozen weights on a device, its linear sites, and what was found out about it by trying.

Any causal language model that transformers loads, from a folder or by its name on a hub. It knows adapters only as
"what acts on the sites now" (`lora.Switch`), and nothing of requests.

Letters: B rows, T positions, H width, V vocabulary.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import torch
import transformers
from huggingface_hub import snapshot_download
from tokenizers import Tokenizer
from torch import Tensor, nn

from tinker_local.engine.lora import Active, Site, Switch, find_sites
from tinker_local.engine.protocol import BaseModelInfo, EngineError
from tinker_local.engine.stopping import load_tokenizer
from tinker_local.engine.vision import Placement, embed, find_reader
from tinker_local.settings import ModelSource

__all__ = ["BaseModel", "load_base_model", "pick_device"]

_MODEL_FILES: Final = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_DEFAULT_CONTEXT: Final = 2048
_RECURRENT: Final = ("linear_attention", "mamba", "recurrent", "conv")


class BaseModel:
    """One loaded model. Its weights never change."""

    def __init__(self, info: BaseModelInfo, model: Any, source: str) -> None:
        self.info = info
        self.source = source
        """What its files were loaded from: the folder, or the name on a hub."""
        self.model = model
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.switch = Switch()
        self.decoder: nn.Module = model.get_decoder() if hasattr(model, "get_decoder") else model
        """The part that reads tokens; the whole model where it does not tell."""
        self._tokenizer: list[Tokenizer | None] = []
        self._head: nn.Module | None = model.get_output_embeddings()
        found = [pair for pair in find_sites(model, self._head) if _is_of_text(model, pair[1], self._head)]
        found = [(attrs.evolve(site, index=index), module) for index, (site, module) in enumerate(found)]
        self.sites: tuple[Site, ...] = tuple(site for site, _ in found)
        for site, module in found:
            self.switch.attach(module, site.index)
        self._decoder: Callable[..., Any] | None = _decoder_of(model, self._head)
        self._training_decoder: Callable[..., Any] | None = None
        self.images = find_reader(model, Path(info.directory), self._decoder, self._head)
        self.info = attrs.evolve(info, reads_images=self.images is not None)

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer beside the weights, read when first asked for; None where there is none."""
        if not self._tokenizer:
            self._tokenizer.append(load_tokenizer(self.info.directory))
        return self._tokenizer[0]

    @contextmanager
    def acting(self, active: Active | None) -> Iterator[None]:
        """Have an adapter act within the block."""
        self.switch.active = active
        try:
            yield
        finally:
            self.switch.active = None

    def states(self, tokens: Tensor, placements: Sequence[Placement] = (), **arguments: Any) -> Tensor:
        """What `logits` needs of each position.

        Args:
            tokens: [B, T], int64; positions beyond a row's end may hold anything: no earlier position sees them.
            placements: images in these rows; only for a model whose `images` reads them.
            arguments: to the model's forward: attention mask, position ids, cache.

        Returns:
            [B, T, H]; or [B, T, V] where this model's logits are not simply its head applied to its last state.
        """
        arguments.setdefault("use_cache", False)
        if self._decoder is None:
            logits: Tensor = self.model(input_ids=tokens, **arguments).logits
            return logits
        if placements:
            arguments["inputs_embeds"] = embed(self.model, tokens, placements)
        else:
            arguments["input_ids"] = tokens
        states: Tensor = self._decoder(**arguments).last_hidden_state
        return states

    def compile_training(self) -> None:
        """Have torch compile what `training_states` computes, for lengths of any kind.

        Raises:
            EngineError: there is no decoder to compile.
        """
        if self._decoder is None:
            raise EngineError(f"base model {self.info.name!r} has no decoder of its own that could be compiled")
        self._training_decoder = torch.compile(self._decoder, dynamic=True)

    def training_states(self, tokens: Tensor, placements: Sequence[Placement]) -> Tensor:
        """`states` for a pass with or without gradients, which may be compiled; samples step too variously for that."""
        if self._training_decoder is None:
            return self.states(tokens, placements)
        given = {"inputs_embeds": embed(self.model, tokens, placements)} if placements else {"input_ids": tokens}
        states: Tensor = self._training_decoder(**given, use_cache=False).last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Logits [..., V] in float32 of states [..., H] (or [..., V], see `states`)."""
        if self._decoder is None or self._head is None:
            return states.float()
        logits: Tensor = self._head(states)
        return logits.float()


def _is_of_text(model: Any, module: nn.Module, head: nn.Module | None) -> bool:
    """Whether a linear map belongs to the text decoder or is the head; a vision tower's do not take adapters."""
    decoder = model.get_decoder() if hasattr(model, "get_image_features") else model
    return module is head or any(module is other for other in decoder.modules())


def _decoder_of(model: Any, head: nn.Module | None) -> Callable[..., Any] | None:
    """The model without its head, if head(decoder(x)) is what the model computes; found by trying, not by a list.

    It lets logits be computed only where they are needed. Models that scale or cap their logits answer None.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    if head is None or decoder is None or decoder is model:
        return None
    tokens = torch.arange(1, 5, device=model.device).unsqueeze(0)
    with torch.no_grad():
        state = getattr(decoder(input_ids=tokens, use_cache=False), "last_hidden_state", None)
        if state is None or state.shape[-1] != head.get_parameter("weight").shape[-1]:
            return None
        same = torch.equal(head(state), model(input_ids=tokens, use_cache=False).logits)
    return decoder if same else None


def pick_device(device: str | None) -> torch.device:
    """The device asked for, else CUDA where there is one, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def load_base_model(
    source: ModelSource, device: torch.device, dtype: Literal["float32", "bfloat16"] | None = None
) -> BaseModel:
    """Load a model from a folder or a hub.

    Raises:
        EngineError: it cannot be found or loaded, or is no causal language model with attention.
    """
    directory = _fetch(source.path)
    wanted = getattr(torch, dtype) if dtype else torch.float32 if device.type == "cpu" else torch.bfloat16
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config: Any = transformers.AutoConfig.from_pretrained(directory)
        _check(source, config)
        kind = transformers.AutoModelForImageTextToText if _has_vision(config) else transformers.AutoModelForCausalLM
        model: Any = kind.from_pretrained(directory, dtype=wanted)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise EngineError(f"base model {source.name!r} could not be loaded from {source.path!r}: {error}") from error
    model.to(device).eval().requires_grad_(False)
    config = model.config.get_text_config()
    info = BaseModelInfo(
        name=source.name,
        aliases=tuple(source.aliases),
        directory=str(directory),
        architecture=type(model).__name__,
        vocabulary_size=int(model.get_input_embeddings().num_embeddings),
        max_context_length=_context_length(config),
        eos_token_ids=_eos_tokens(model, directory),
        placed=f"{str(wanted).removeprefix('torch.')} on {device}",
    )
    return BaseModel(info, model, source.path)


def _has_vision(config: Any) -> bool:
    """Whether the weights are those of a model that reads images besides text."""
    named = getattr(config, "architectures", None) or [""]
    return hasattr(config, "vision_config") and named[0].endswith("ForConditionalGeneration")


def _fetch(path: str) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder.resolve()
    try:
        return Path(snapshot_download(path, allow_patterns=_MODEL_FILES))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path!r} is neither a folder nor a model that a hub could give: {error}") from error


def _check(source: ModelSource, config: Any) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise EngineError(f"base model {source.name!r} is an encoder-decoder; only causal language models are served")
    for kind in getattr(config.get_text_config(), "layer_types", None) or ():
        if any(word in kind for word in _RECURRENT):
            raise EngineError(f"base model {source.name!r} has {kind} layers; only attention can be batched here")


def _context_length(config: Any) -> int:
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return _DEFAULT_CONTEXT


def _eos_tokens(model: Any, directory: Path) -> tuple[int, ...]:
    """The end tokens that the configuration and the generation settings name; else the tokenizer's."""
    found: dict[int, None] = {}
    for config in (model.config.get_text_config(), model.generation_config):
        value = getattr(config, "eos_token_id", None)
        for token in value if isinstance(value, list | tuple) else [value]:
            if isinstance(token, int):
                found[token] = None
    if not found and (token := _tokenizer_eos(directory)) is not None:
        found[token] = None
    return tuple(found)


def _tokenizer_eos(directory: Path) -> int | None:
    settings, vocabulary = directory / "tokenizer_config.json", directory / "tokenizer.json"
    if not (settings.exists() and vocabulary.exists()):
        return None
    token = json.loads(settings.read_text(encoding="utf-8")).get("eos_token")
    text = token.get("content") if isinstance(token, dict) else token
    added = json.loads(vocabulary.read_text(encoding="utf-8")).get("added_tokens", ())
    return next((int(entry["id"]) for entry in added if entry["content"] == text), None)

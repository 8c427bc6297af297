"""`Adapter`: a LoRA adapter in memory, read from and written to the folder that peft knows. Numpy only.

The update of a linear layer is W + s * B @ A with A [rank, in], B [out, rank] and s = lora_alpha / r, or
lora_alpha / sqrt(r) under rsLoRA (`use_rslora`). Adapters that mean more than that (DoRA, biases, ranks that differ
from layer to layer, layers saved whole) are refused by name: what is computed of them here would be wrong.
"""

import importlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from tinker_hl.checkpoints.errors import AdapterError
from tinker_hl.errors import ConfigurationError

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "Adapter", "LoraPair", "as_adapter", "read_adapter_config"]

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
BASE_MODEL_KEY: Final = "tinker_hl.base_model"
"""In the weights file's metadata: the name under which a service serves the base model."""
_PREFIX: Final = "base_model.model."
_PLAIN: Final[Mapping[str, Any]] = {
    "use_dora": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": None,
    "alpha_pattern": None,
    "trainable_token_indices": None,
    "layer_replication": None,
    "lora_bias": False,
}
"""Settings of peft that change what the matrices mean, with the value that does not."""
_FLOATS: Final = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


@attrs.frozen(eq=False)
class LoraPair:
    """The two matrices of one layer, float32."""

    a: np.ndarray
    """[rank, in]"""
    b: np.ndarray
    """[out, rank]"""


@attrs.frozen(kw_only=True, eq=False)
class Adapter:
    """A plain LoRA adapter. Invariant: every pair has the rank of `config`, all values are finite."""

    config: Mapping[str, Any]
    """peft's `adapter_config.json`."""
    pairs: Mapping[str, LoraPair]
    """By the name of the layer in the base model, such as `model.layers.0.self_attn.q_proj`."""
    served_base_model: str | None = None
    """The name under which a service served the base model; None where the file does not say."""

    @property
    def rank(self) -> int:
        """Of every pair."""
        return int(self.config["r"])

    @property
    def scaling(self) -> float:
        """s of the module's formula."""
        alpha = float(self.config["lora_alpha"])
        return alpha / math.sqrt(self.rank) if self.config.get("use_rslora") else alpha / self.rank

    @property
    def base_model(self) -> str | None:
        """peft's `base_model_name_or_path`: a repository or a folder."""
        return self.config.get("base_model_name_or_path")

    def update(self, layer: str) -> np.ndarray:
        """What is added to a layer's weight: s * B @ A, float32 [out, in]."""
        pair = self.pairs[layer]
        return np.asarray(self.scaling * (pair.b @ pair.a), dtype=np.float32)

    @classmethod
    def read(cls, folder: str | Path) -> "Adapter":
        """Read a folder that peft or a service wrote.

        Args:
            folder: Holds `adapter_config.json` and `adapter_model.safetensors`.

        Raises:
            AdapterError: There is no adapter, or one that means more than plain LoRA.
        """
        folder = Path(folder)
        config = read_adapter_config(folder)
        tensors, metadata = _tensors(folder / WEIGHTS_FILE)
        return cls(config=config, pairs=_pairs(tensors, config["r"]), served_base_model=metadata.get(BASE_MODEL_KEY))

    def write(self, folder: str | Path) -> Path:
        """Write a folder that peft, vLLM and `Adapter.read` read; it appears whole or not at all.

        Raises:
            AdapterError: The folder exists.
        """
        save_file = _safetensors("safetensors.numpy").save_file
        target = Path(folder).absolute()
        if target.exists():
            raise AdapterError(f"{target} exists", hint="choose another folder, or remove it")
        staged = target.with_name(f".{target.name}.{os.getpid()}.new")
        staged.mkdir(parents=True)
        try:
            tensors = {}
            for layer, pair in self.pairs.items():
                tensors[f"{_PREFIX}{layer}.lora_A.weight"] = np.ascontiguousarray(pair.a, dtype=np.float32)
                tensors[f"{_PREFIX}{layer}.lora_B.weight"] = np.ascontiguousarray(pair.b, dtype=np.float32)
            metadata = {"format": "pt"}
            if self.served_base_model is not None:
                metadata[BASE_MODEL_KEY] = self.served_base_model
            save_file(tensors, staged / WEIGHTS_FILE, metadata=metadata)
            text = json.dumps(dict(self.config), indent=2, sort_keys=True)
            (staged / CONFIG_FILE).write_text(text, encoding="utf-8")
            staged.rename(target)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return target


def as_adapter(adapter: "Adapter | str | Path") -> Adapter:
    """An adapter, or the one in a folder."""
    return adapter if isinstance(adapter, Adapter) else Adapter.read(adapter)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """peft's settings of the adapter in a folder, checked: it is plain LoRA.

    Raises:
        AdapterError: There is no adapter, or one that means more.
    """
    path = folder / CONFIG_FILE
    if not path.is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise AdapterError(
            f"{folder} has no {CONFIG_FILE} with {WEIGHTS_FILE}",
            hint="only safetensors adapters are read; peft writes them by save_pretrained(safe_serialization=True)",
        )
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise AdapterError(f"{path} describes no LoRA adapter (peft_type must be LORA)")
    for key, plain in _PLAIN.items():
        if config.get(key) not in (plain, None, False, {}, []):
            raise AdapterError(f"{path} has {key}={config[key]!r}; only plain LoRA of one rank is read")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise AdapterError(f"{path} has r={rank!r}; it must be a whole number, 1 or more")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < math.inf:
        raise AdapterError(f"{path} has lora_alpha={alpha!r}; it must be a positive number")
    return config


def _tensors(path: Path) -> tuple[dict[str, np.ndarray], Mapping[str, str]]:
    """All tensors as float32, and the file's metadata. bfloat16, which numpy lacks, is the upper half of a float32."""
    library = _safetensors("safetensors")
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        entries = library.deserialize(path.read_bytes())
    except (library.SafetensorError, OSError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    found = {}
    for name, entry in entries:
        kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
        if kind == "BF16":
            values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif kind in _FLOATS:
            values = np.frombuffer(data, _FLOATS[kind]).astype(np.float32)
        else:
            raise AdapterError(f"{path}: {name} is {kind}; F64, F32, F16 and BF16 are read")
        if not np.isfinite(values).all():
            raise AdapterError(f"{path}: {name} holds numbers that are not finite")
        found[name] = values.reshape(shape)
    return found, metadata


def _safetensors(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigurationError(
            "adapters are read and written by safetensors, which is not installed",
            hint="pip install 'tinker-hl[checkpoints]'",
        ) from None


def _pairs(tensors: Mapping[str, np.ndarray], rank: int) -> dict[str, LoraPair]:
    halves: dict[str, dict[str, np.ndarray]] = {}
    for name, values in tensors.items():
        plain = name.removeprefix(_PREFIX).replace(".default.weight", ".weight")
        layer, separator, half = plain.rpartition(".lora_")
        if not separator or half not in ("A.weight", "B.weight"):
            raise AdapterError(f"{WEIGHTS_FILE} holds {name!r}, which is no lora_A or lora_B of a linear layer")
        halves.setdefault(layer, {})[half[0]] = values
    pairs = {}
    for layer, both in sorted(halves.items()):
        a, b = both.get("A"), both.get("B")
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            shapes = {half: list(values.shape) for half, values in both.items()}
            raise AdapterError(f"{layer} has {shapes}; A [{rank}, in] and B [out, {rank}] are needed")
        pairs[layer] = LoraPair(a, b)
    if not pairs:
        raise AdapterError(f"{WEIGHTS_FILE} holds no LoRA matrix")
    return pairs

"""Faults of the official SDK in what it imports and installs, none of which this client has; numbers as in the docs."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import tinker_local

TINY = Path(tinker_local.__file__).parent / "models" / "tiny"

HEAVY = ("torch", "transformers", "huggingface_hub", "tokenizers", "pydantic", "pandas")


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of the modules a fresh interpreter has loaded after running `code`."""
    command = f"{code}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=60)
    return list(eval(done.stdout.splitlines()[-1]))


def test_fault_29_importing_loads_neither_torch_nor_anything_else_that_is_slow() -> None:
    assert loaded_after("import tinker_hl", (*HEAVY, "numpy", "aiohttp", "httpx", "google.protobuf")) == []
    every_type = "from tinker_hl.types import *\nfrom tinker_hl import ServiceClient, SamplingClient, TrainingClient"
    assert loaded_after(every_type, HEAVY) == []


def test_fault_31_transformers_is_not_needed() -> None:
    required = [line for line in importlib.metadata.requires("tinker-hl") or [] if "extra ==" not in line]
    assert any(line.startswith("tokenizers") for line in required)
    assert [line for line in required if line.startswith(("transformers", "torch"))] == []


def test_fault_32_a_tokenizer_is_loaded_and_used_without_transformers() -> None:
    code = (
        "from tinker_hl.tokenizer import load_tokenizer\n"
        f"tokenizer = load_tokenizer('any/model', {str(TINY)!r})\n"
        "assert tokenizer.decode(tokenizer.encode('hello')) == 'hello'"
    )
    assert loaded_after(code, ("torch", "transformers")) == []

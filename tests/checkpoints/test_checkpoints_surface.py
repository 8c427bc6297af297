"""The names of the two rooms: each is what it should be, in whatever order modules are imported, and cheap to have."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("room", "page"), [("checkpoints", "checkpoints.md"), ("many", "many.md")])
def test_every_name_is_there_and_documented_and_none_is_a_module(room: str, page: str) -> None:
    package = importlib.import_module(f"tinker_hl.{room}")
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / "tinker_hl" / room).glob("*.py")}
    for name in package.__all__:
        assert getattr(package, name).__module__.startswith(f"tinker_hl.{room}.")
        assert name in text, name
    assert not modules & set(package.__all__), "the import of such a module would hide the name"
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute"):
        package.nothing  # noqa: B018


def test_importing_them_loads_neither_numpy_nor_torch() -> None:
    code = (
        "import sys, tinker_hl.checkpoints, tinker_hl.many\n"
        "assert not {'numpy', 'torch', 'safetensors', 'huggingface_hub', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

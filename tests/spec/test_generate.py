"""`generated/` is what the spec makes, on every machine and every day, and the check notices when it is not."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import openapi_python_client
import pytest

from scripts import generate
from scripts.generate import (
    GenerationError,
    compare_trees,
    import_every_module,
    make_packages,
    require_pinned_tools,
    without_version_gate,
)

ROOT = Path(__file__).resolve().parents[2]
# The generator's own templates that ours stand in for, as they were when ours were written.
REPLACED = {"models_init.py.jinja": "4f64a3d6e1b15a56", "str_enum.py.jinja": "e4979a5e6b338351"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages, made anew."""
    folder = tmp_path_factory.mktemp("made")
    make_packages(folder)
    return folder


def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_what_is_committed_is_what_the_spec_makes(made: Path) -> None:
    assert compare_trees(made, ROOT / "generated") == []


def test_another_hash_seed_and_folder_make_the_same_bytes(made: Path, tmp_path: Path) -> None:
    # Settings of a surrounding project that would reach the formatter if it looked for them.
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    folder = tmp_path / "again"
    code = f"from pathlib import Path; from scripts.generate import make_packages; make_packages(Path({str(folder)!r}))"
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "1234", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=100)
    files = sorted(
        path.relative_to(made) for path in made.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    assert files == sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [name for name in files if (made / name).read_bytes() != (folder / name).read_bytes()] == []


def test_both_packages_say_that_they_are_typed(made: Path) -> None:
    assert (made / "tinker_api" / "py.typed").is_file()
    assert (made / "tinker_proto" / "py.typed").is_file()


def test_a_hand_edit_a_stray_and_a_missing_file_are_named(made: Path, tmp_path: Path) -> None:
    found = copied(made, tmp_path)
    (found / "tinker_api" / "models" / "stray.py").write_text("")
    (found / "tinker_api" / "types.py").unlink()
    edited = found / "tinker_api" / "errors.py"
    edited.write_text(edited.read_text() + "EDITED = 1\n")
    said = "\n".join(compare_trees(made, found))
    assert "stray:   tinker_api/models/stray.py" in said
    assert "missing: tinker_api/types.py" in said
    assert "differs: tinker_api/errors.py" in said
    assert "-EDITED = 1" in said


def test_bytecode_is_no_stray_file(made: Path, tmp_path: Path) -> None:
    found = copied(made, tmp_path)
    (found / "tinker_api" / "__pycache__").mkdir(exist_ok=True)
    (found / "tinker_api" / "__pycache__" / "client.cpython-311.pyc").write_bytes(b"")
    assert compare_trees(made, found) == []


def test_another_version_of_a_tool_is_an_error(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text()
    constraints.write_text(lines.replace("ruff==", "ruff==99."))
    with pytest.raises(GenerationError, match=r"ruff is .*, constraints.txt names 99\."):
        require_pinned_tools(constraints)
    require_pinned_tools(ROOT / "constraints.txt")


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    package = tmp_path / "broken_package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("nothing_of_that_name")
    with pytest.raises(GenerationError, match=r"broken_package_of_a_test\.part cannot be imported: NameError"):
        import_every_module(tmp_path)


def test_a_failing_tool_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    spec = tmp_path / "openapi.yaml"
    spec.write_text("openapi: 3.1.0\npaths: {}\ncomponents: {schemas: {}}\n")
    with pytest.raises(GenerationError, match="openapi_python_client failed"):
        generate.make_client(spec, tmp_path / "package")


def test_the_gate_of_the_protobuf_runtime_is_found_or_missed_loudly() -> None:
    gate = "from google.protobuf import runtime_version as _runtime_version\nA = 1\n"
    gate += "_runtime_version.ValidateProtobufRuntimeVersion(\n    1,\n    'f'\n)\nB = 2\n"
    assert without_version_gate(gate) == "A = 1\nB = 2\n"
    with pytest.raises(GenerationError, match="new form"):
        without_version_gate("A = 1\n")


def test_a_new_generator_does_not_change_unseen_what_our_templates_replace() -> None:
    """When this fails after an upgrade: read the new stock templates, carry over what matters, note their hashes."""
    stock = Path(openapi_python_client.__file__).parent / "templates"
    ours = {path.name for path in (ROOT / "scripts" / "codegen" / "templates").iterdir()}
    assert {name: hashlib.sha256((stock / name).read_bytes()).hexdigest()[:16] for name in ours} == REPLACED

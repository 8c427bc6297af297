"""Make `generated/` from `openapi.yaml` and `proto/`, or check that it is what they make.

    python scripts/generate.py           write generated/tinker_api and generated/tinker_proto
    python scripts/generate.py --check   make both in a temporary folder, compare, import every module

The result depends on the spec, the templates and the exact versions of the tools, and on nothing else: not on the
surrounding ruff settings, the hash seed or the day. So a wrong version of a tool is an error, not a different result.

What the rules of the codegen view are, `scripts/codegen_view.py` knows.
"""

import argparse
import difflib
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from scripts.codegen_view import codegen_view

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "scripts" / "codegen"
PACKAGES = ("tinker_api", "tinker_proto")
TOOLS = ("openapi-python-client", "ruff", "grpcio-tools", "protobuf")
PROTO_NOTE = '"""Protobuf classes of the Tinker API, made by `make generate` from proto/tinker_public.proto."""\n'


class GenerationError(Exception):
    """The generated packages could not be made, or are not what the spec makes."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make generated/ from the spec.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    try:
        require_pinned_tools(ROOT / "constraints.txt")
        if options.check:
            check(ROOT / "generated")
        else:
            write(ROOT / "generated")
    except GenerationError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    return 0


def require_pinned_tools(constraints: Path) -> None:
    """Raise unless each tool is installed in exactly the version that the constraints file names."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", constraints.read_text(), re.MULTILINE))
    for tool in TOOLS:
        installed = importlib.metadata.version(tool)
        if installed != pinned.get(tool):
            raise GenerationError(
                f"{tool} is {installed}, {constraints.name} names {pinned.get(tool)}: run `make setup`"
            )


def write(target: Path) -> None:
    """Replace both packages below `target`."""
    with tempfile.TemporaryDirectory() as folder:
        make_packages(Path(folder))
        for package in PACKAGES:
            shutil.rmtree(target / package, ignore_errors=True)
            shutil.copytree(Path(folder) / package, target / package)


def check(target: Path) -> None:
    """Raise if `target` holds anything but what the spec makes, or a module there cannot be imported."""
    with tempfile.TemporaryDirectory() as folder:
        make_packages(Path(folder))
        differences = compare_trees(Path(folder), target)
    if differences:
        raise GenerationError("\n".join(["generated/ is not what the spec makes; run `make generate`:", *differences]))
    import_every_module(target)


def make_packages(folder: Path) -> None:
    """Write `tinker_api` and `tinker_proto` into the empty folder `folder`."""
    make_client(ROOT / "openapi.yaml", folder / "tinker_api")
    make_protobuf(ROOT / "proto", folder / "tinker_proto")


def make_client(spec: Path, package: Path) -> None:
    """Run openapi-python-client on the codegen view of `spec`. `package` must not exist."""
    with tempfile.TemporaryDirectory() as folder:
        view = Path(folder) / "view.json"
        view.write_text(json.dumps(codegen_view(yaml.safe_load(spec.read_text()))))
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
        command += ["--path", str(view), "--output-path", str(package), "--config", str(SETTINGS / "config.yaml")]
        command += ["--custom-template-path", str(SETTINGS / "templates")]
        run(command)
    (package / "py.typed").touch()
    shutil.rmtree(package / ".ruff_cache", ignore_errors=True)


def make_protobuf(source: Path, package: Path) -> None:
    """Compile `source`/tinker_public.proto so that it registers as a file of the package `tinker_proto`."""
    name = f"{package.name}/tinker_public.proto"
    includes = f"{package.name}={source}"
    outputs = [f"--python_out={package.parent}", f"--pyi_out={package.parent}"]
    run([sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={includes}", *outputs, name])
    module = package / "tinker_public_pb2.py"
    module.write_text(without_version_gate(module.read_text()))
    (package / "__init__.py").write_text(PROTO_NOTE)
    (package / "py.typed").touch()


def without_version_gate(code: str) -> str:
    """Remove the check that refuses a protobuf runtime older than the compiler.

    The file holds a serialized descriptor, which older runtimes build as well; pyproject.toml states the oldest that we
    support. An older compiler was the alternative, but that one does not install beside a current runtime.
    """
    code, gates = re.subn(r"^_runtime_version\.ValidateProtobufRuntimeVersion\(.*?^\)\n", "", code, flags=re.M | re.S)
    code, imports = re.subn(r"^from google\.protobuf import runtime_version.*\n", "", code, flags=re.M)
    if (gates, imports) != (1, 1):
        raise GenerationError("grpcio-tools writes its version gate in a new form; look at without_version_gate")
    return re.sub(r"^# Protobuf Python Version: .*\n", "", code, flags=re.M)


def run(command: Sequence[str]) -> None:
    """Run a tool with this environment's programs first on the path: the generator calls `ruff` by its bare name."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False)
    if done.returncode != 0:
        raise GenerationError(f"{command[2]} failed:\n{done.stdout}{done.stderr}")


def compare_trees(made: Path, found: Path) -> list[str]:
    """Say in what the packages below `found` differ from those below `made`; empty: in nothing."""
    expected, present = files_of(made), files_of(found)
    differences = [f"  missing: {name}" for name in sorted(expected - present)]
    differences += [f"  stray:   {name}" for name in sorted(present - expected)]
    for name in sorted(expected & present):
        old, new = (found / name).read_text(), (made / name).read_text()
        if old != new:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "found", "made", n=0, lineterm="")
            differences += [f"  differs: {name}", *(f"    {line}" for line in list(lines)[2:8])]
    return differences


def files_of(folder: Path) -> set[str]:
    """Return the paths below `folder` of the files that count: bytecode does not."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def import_every_module(target: Path) -> None:
    """Import each generated module from `target`; some mistakes of a generator show only then."""
    sys.path.insert(0, str(target))
    for path in sorted(target.rglob("*.py")):
        name = ".".join(path.relative_to(target).with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
        except Exception as error:
            raise GenerationError(f"{name} cannot be imported: {error!r}") from error


if __name__ == "__main__":
    sys.exit(main())

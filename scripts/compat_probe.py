"""Ask how much of the official SDK works against a server, and write the answer to `docs/server-compatibility.md`.

    python scripts/compat_probe.py http://127.0.0.1:8787          any server; the key is TINKER_API_KEY
    python scripts/compat_probe.py local                          a service of this repository, started for it
    python scripts/compat_probe.py URL --model NAME --page FILE   another base model, another page

Every public method of each release is found by reflection and called; then the server is searched for faults that
others have had. What is called, and what must hold, is in `scripts/probe/`; this script only drives it, each release in
an environment of its own, and tells. It exits with 1 where something does not work.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.official_venv import official_python
from tinker_local import embedded

__all__ = ["RELEASES", "faults_of", "methods_of", "page", "served"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "server-compatibility.md"
PROBE = ROOT / "scripts" / "probe"
RELEASES = ("newest", "0.18.1", "0.7.0")
PROBE_SECONDS = 900
HEADER = """# How much of the official SDK works against this server

Every public method of each release, found by reflection, called with real arguments, and its answer checked. Written
by `make probe`; `python scripts/compat_probe.py URL` does the same for any server of the API.
"""
FAULTS = """## Faults that servers of this API have had

Looked for from outside. The numbers are those of the tests, `test_service_peer_faults.py`, which hold all of them
against this service, those included that cannot be seen from outside.

| # | What is right | Seen |
|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Probe a server with every public method of the official SDK.")
    parser.add_argument("url", help="the server's address, or `local` for a service of this repository")
    parser.add_argument("--model", help="a base model that it serves; its first one unless told")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write what was found")
    options = parser.parse_args(arguments)
    with served(options.url) as environment:
        model = options.model or _models(environment)[0]["model_name"]
        methods = {release: methods_of(release, environment, model) for release in RELEASES}
        faults = faults_of(environment, model)
    # Addresses and random ports would change the page each time.
    where = "`tinker-hl serve`" if options.url == "local" else urlsplit(options.url).hostname or options.url
    options.page.write_text(page(where, model, methods, faults), encoding="utf-8")
    works = all(row["outcome"] == "works" for rows in methods.values() for row in rows["methods"])
    return 0 if works and not any(row["outcome"] in ("fault", "not told") for row in faults) else 1


@contextlib.contextmanager
def served(url: str) -> Iterator[Mapping[str, str]]:
    """The environment that leads the official SDK to the server.

    Args:
        url: an address, or `local`, which starts a service for as long as this lasts.
    """
    with contextlib.ExitStack() as stack:
        key = os.environ.get("TINKER_API_KEY", "tml-local")
        if url == "local":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            service = stack.enter_context(embedded.start(data_dir=folder / "data"))
            url, key = service.base_url, service.api_key
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TINKER_", "PYTHON"))}
        environment = inherited | {
            "TINKER_BASE_URL": url,
            "TINKER_API_KEY": key,
            "TINKER_PROJECT_ID": "probe-project",
            "TINKER_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(cache),
        }
        _stand_in_for_the_hub(cache, _models(environment))
        yield environment


def methods_of(release: str, environment: Mapping[str, str], model: str) -> dict[str, Any]:
    """What became of each method of a release."""
    return _probed(release, "methods.py", environment, model)


def faults_of(environment: Mapping[str, str], model: str) -> list[dict[str, Any]]:
    """Which faults were seen, with the newest release."""
    found: list[dict[str, Any]] = _probed("newest", "faults.py", environment, model)["faults"]
    return found


def page(where: str, model: str, methods: Mapping[str, Mapping[str, Any]], faults: Sequence[Mapping[str, Any]]) -> str:
    """The page, in Markdown."""
    lines = [HEADER, f"Server: {where}, base model `{model}`.\n", "| release | methods | work |", "|---|---|---|"]
    for found in methods.values():
        count = sum(row["outcome"] == "works" for row in found["methods"])
        lines.append(f"| {found['release']} | {len(found['methods'])} | {count} |")
    lines += ["", FAULTS]
    lines += [f"| {row['number']} | {row['right']} | {_seen(row)} |" for row in faults]
    lines += ["", "## Methods", "", "| method | " + " | ".join(found["release"] for found in methods.values()) + " |"]
    lines.append("|---|" + "---|" * len(methods))
    lines += _method_lines(list(methods.values()))
    return "\n".join(lines) + "\n"


def _method_lines(releases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    tables = [{(row["class"], row["method"]): row for row in found["methods"]} for found in releases]
    for kind, name in sorted({method for table in tables for method in table}):
        yield f"| `{kind}.{name}` | " + " | ".join(_outcome(table.get((kind, name))) for table in tables) + " |"


def _outcome(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not in it"
    return "works" if row["outcome"] == "works" else f"**{row['outcome']}**: {_cell(row['detail'])}"


def _seen(row: Mapping[str, Any]) -> str:
    if not row["outcome"]:
        return ""
    # Milliseconds differ from run to run, and the page should not.
    return "as it should be" if row["outcome"] == "right" else f"**{row['outcome']}**: {_cell(row['detail'])}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _probed(release: str, script: str, environment: Mapping[str, str], model: str) -> dict[str, Any]:
    ended = subprocess.run(
        [official_python(release), PROBE / script, model],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PROBE_SECONDS,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _models(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    url = environment["TINKER_BASE_URL"].rstrip("/") + "/api/v1/get_server_capabilities"
    answer = httpx.get(url, headers={"X-API-Key": environment["TINKER_API_KEY"]}, timeout=30)
    answer.raise_for_status()
    models: list[dict[str, Any]] = answer.json()["supported_models"]
    return models


def _stand_in_for_the_hub(cache: Path, models: Sequence[Mapping[str, Any]]) -> None:
    """Put the tokenizers of models that are folders here where the official SDK looks for what it downloaded.

    Its sampling client looks a tokenizer up at the hub by the base model's name, whatever a server says.
    """
    for model in models:
        folder = Path(model.get("tokenizer_id") or "")
        if model.get("tokenizer_id") and folder.is_dir():
            home = cache / f"models--{model['model_name'].replace('/', '--')}"
            (home / "refs").mkdir(parents=True)
            (home / "refs" / "main").write_text("0")
            (home / "snapshots").mkdir()
            (home / "snapshots" / "0").symlink_to(folder, target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main())

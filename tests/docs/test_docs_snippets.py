"""Every Python snippet of the docs runs as it stands: those of a page one after the other, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text(encoding="utf-8")]


def snippets(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("\n".join(snippets(page)), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env=environment | {"TINKER_HL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    printed = sum(snippet.count("print(") for snippet in snippets(page))
    assert len(ended.stdout.splitlines()) >= printed


def test_the_pages_that_people_start_with_have_snippets() -> None:
    assert {"quickstart", "client", "local-service"} <= {page.stem for page in PAGES}

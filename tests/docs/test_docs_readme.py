import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_loop_in_the_readme_is_the_example_that_runs() -> None:
    shown = re.search(r"<!-- examples/training_loop.py -->\n```python\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert ast.dump(ast.parse(shown[1])) == ast.dump(_without_docstring(ROOT / "examples" / "training_loop.py"))


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        named |= set(re.findall(r"`make ([a-z-]+)`", page.read_text()))
    assert named
    assert named <= targets


def test_every_relative_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _without_docstring(path: Path) -> ast.Module:
    module = ast.parse(path.read_text())
    module.body = module.body[1:]
    return module

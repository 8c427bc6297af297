"""What code written for the official SDK finds here: compare the two by reflection, and write docs/compatibility.md.

    python scripts/compatibility.py           write the page
    python scripts/compatibility.py --check   fail if the page is not what would be written
    python scripts/compatibility.py --faults  only the page's last part, which needs no official SDK; also with --check

The official releases are looked at in environments of their own, our client through `tinker_hl.compat`. The page is the
same on every machine. The module knows nothing of why things differ; `compatibility_reasons` says that.
"""

import argparse
import fnmatch
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from scripts.compatibility_reasons import FAULTS, FAULTS_THAT_CANNOT_BE, PROGRAMS, REASONS, Reason
from scripts.official_venv import NEWEST, official_python
from scripts.surface_comparison import Comparison, Difference, Surface, compare

__all__ = ["PAGE", "Findings", "fault_tests", "look", "main", "page", "problems"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
SCRIPT = ROOT / "tests" / "interop" / "scripts" / "dump_surface.py"
RELEASES = (NEWEST, "0.7.0")
FAULTS_HEADING = "## Faults of the official SDK"


@attrs.frozen
class Findings:
    """Version -> how it compares, newest first, and what it exports; and the public names that only we have."""

    comparisons: Mapping[str, Comparison]
    exported: Mapping[str, Sequence[str]]
    only_here: Sequence[str]

    @property
    def differences(self) -> dict[Difference, list[str]]:
        """Each difference, in the order of its place, and the versions that it is a difference to."""
        found: dict[Difference, list[str]] = defaultdict(list)
        for version, comparison in self.comparisons.items():
            for difference in comparison.differences:
                found[difference].append(version)
        return dict(sorted(found.items()))


def look(releases: Sequence[str] = RELEASES) -> Findings:
    """Run the script that tells a surface with each release and with ours, and compare."""
    theirs = [_surface([str(official_python(release)), str(SCRIPT)]) for release in releases]
    modules: dict[str, set[str]] = defaultdict(set)
    for surface in theirs:
        for module, names in surface["modules"].items():
            modules[module].update(names)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as asked:
        json.dump({module: sorted(names) for module, names in modules.items()}, asked)
        asked.flush()
        ours = _surface([sys.executable, "-m", "tinker_hl.compat", str(SCRIPT), asked.name])
    official = {name for surface in theirs for name in (*surface["top"], *surface["types"])}
    return Findings(
        comparisons={surface["version"]: compare(surface, ours) for surface in theirs},
        exported={surface["version"]: surface["all"] for surface in theirs},
        only_here=sorted({*ours["all"], *ours["types"]} - official - {"auth", "types"}),
    )


def _surface(command: Sequence[str]) -> Surface:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} could not tell its surface:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def problems(findings: Findings, reasons: Sequence[Reason] = REASONS) -> list[str]:
    """Differences that nobody explains, and reasons for differences that are not there."""
    differences = list(findings.differences)
    unexplained = [f"no reason is given for: {d}" for d in differences if _reason_of(d, reasons) is None]
    idle = [
        f"a reason is given for what is no difference: {pattern}"
        for reason in reasons
        for pattern in reason.patterns
        if not any(fnmatch.fnmatchcase(str(difference), pattern) for difference in differences)
    ]
    return unexplained + idle


def _reason_of(difference: Difference, reasons: Sequence[Reason]) -> Reason | None:
    """The first whose patterns fit."""
    for reason in reasons:
        if any(fnmatch.fnmatchcase(str(difference), pattern) for pattern in reason.patterns):
            return reason
    return None


def fault_tests(tests: Path = ROOT / "tests") -> dict[int, list[str]]:
    """Number -> the tests named for that fault, as `file::test`, found by their names."""
    found: dict[int, list[str]] = defaultdict(list)
    for file in sorted(tests.rglob("test_*.py")):
        for name, number in re.findall(r"^ *(?:async )?def (test_fault_(\d\d)_\w+)", file.read_text("utf-8"), re.M):
            found[int(number)].append(f"{file.relative_to(ROOT).as_posix()}::{name}")
    return dict(sorted(found.items()))


def page(findings: Findings, faults: Mapping[int, Sequence[str]]) -> str:
    """The page's text."""
    parts = (
        _opening(findings),
        [*PROGRAMS.splitlines(), ""],
        _differences(findings),
        _only_here(findings),
        _faults(faults),
    )
    return "\n".join(line for part in parts for line in part) + "\n"


def with_faults(text: str, faults: Mapping[int, Sequence[str]]) -> str:
    """The page's text with its table of faults written anew, the rest as it is."""
    before, _, _ = text.partition(FAULTS_HEADING)
    return before + "\n".join(_faults(faults)) + "\n"


def _opening(findings: Findings) -> Iterator[str]:
    versions = list(findings.comparisons)
    yield "# Compatibility with the official SDK"
    yield ""
    yield "<!-- Written by `make compatibility`; a test fails when it is not up to date. Do not edit. -->"
    yield ""
    yield (
        f"`tinker_hl` has the public surface of `tinker` {versions[0]}, and what {' and '.join(versions[1:])} had "
        "besides. A test asks both packages by reflection for every public name, class, method, property, field, "
        "argument, default and error, and for every module that these can be imported from; this page is what it "
        "found. [Running code written for `tinker`](client.md#running-code-written-for-tinker) says how to use it."
    )
    yield ""
    yield "| Compared with | the same | ours takes more | differs, for a reason below |"
    yield "|---|---|---|---|"
    for version, comparison in findings.comparisons.items():
        yield f"| {version} | {comparison.same} | {comparison.wider} | {len(comparison.differences)} |"
    yield ""
    yield (
        "*Ours takes more*: an argument that they do not have, a default where they have none, another base class. "
        "Calls written for theirs work."
    )
    yield ""


def _differences(findings: Findings) -> Iterator[str]:
    yield "## Differences that stay"
    yield ""
    by_reason: dict[str, list[str]] = {reason.text: [] for reason in REASONS}
    for difference, versions in findings.differences.items():
        reason = _reason_of(difference, REASONS)
        text = "No reason is given." if reason is None else reason.text
        where = "" if len(versions) == len(findings.comparisons) else f" ({versions[0]})"
        by_reason.setdefault(text, []).append(f"- `{difference.place}` {difference.what}{where}")
    for text, lines in by_reason.items():
        if lines:
            yield from (text, "", *lines, "")


def _only_here(findings: Findings) -> Iterator[str]:
    yield "## Names that only we have"
    yield ""
    yield ", ".join(f"`{name}`" for name in findings.only_here) + "."
    yield ""


def _faults(tests: Mapping[int, Sequence[str]]) -> Iterator[str]:
    yield FAULTS_HEADING
    yield ""
    yield "Each was observed with one of the two releases; the tests named beside it hold that this client has it not."
    yield ""
    yield "| | The fault | Held by |"
    yield "|---|---|---|"
    for number, title in FAULTS.items():
        held = "<br>".join(f"`{test}`" for test in tests.get(number, ()))
        yield f"| {number} | {title} | {held or FAULTS_THAT_CANNOT_BE.get(number, '**nothing yet**')} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare with the official SDK, and write docs/compatibility.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page would change")
    parser.add_argument("--faults", action="store_true", help="only the table of faults; looks at no official SDK")
    options = parser.parse_args(arguments)
    written = PAGE.read_text("utf-8")
    if options.faults:
        wrong, text = list[str](), with_faults(written, fault_tests())
    else:
        findings = look()
        wrong, text = problems(findings), page(findings, fault_tests())
    if options.check and written != text:
        wrong.append(f"{PAGE.name} is not up to date: run make compatibility")
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    print("\n".join(wrong) or f"{PAGE.name} tells the truth")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the pages say of settings, limits, defaults and extras is what the code says."""

import re
import tomllib
from pathlib import Path

import attrs
import pytest

from tinker_hl.recovery import CheckpointSchedule, RecoveryPolicy
from tinker_local import bodies, connections, keeping
from tinker_local.runs import samplers
from tinker_local.settings import Settings
from tinker_local.wire import tensors, tokens

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
EVERYTHING = "\n".join([*PAGES.values(), (ROOT / "README.md").read_text(encoding="utf-8")])
LIMITS = PAGES["local-service"].partition("| Limit |")[2].partition("\n\n")[0]
FIELDS = {field.name: field.default for field in attrs.fields(Settings)}
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def amount(text: str) -> int:
    """What `256 MiB`, `65,536` or `2^17` says."""
    number, _, unit = text.strip().partition(" ")
    base, _, power = number.replace(",", "").partition("^")
    return int(base) ** int(power or 1) * UNITS.get(unit, 1)


@pytest.mark.parametrize("name", [name for name in FIELDS if name.startswith("max_")])
def test_every_limit_of_the_service_is_in_the_table(name: str) -> None:
    (row,) = [line for line in LIMITS.splitlines() if f"`{name}`" in line]
    names, numbers, *_ = [cell.strip() for cell in row.strip("|").split("|")]
    listed = re.findall(r"`(max_\w+)`", names)
    told = re.split(r", (?=\d+ )|(?<=\d), ", numbers)  # one for all of them, or one for each
    assert amount(told[listed.index(name)] if len(told) > 1 else told[0]) == FIELDS[name]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("clients of one sampling session", [samplers.MOST_CLIENTS]),
        ("objects and lists within one another", [bodies._DEEPEST]),
        ("positions of one model input", [tokens.MAX_POSITIONS, tensors.MAX_ELEMENTS, tensors._MOST_DIMENSIONS]),
        ("bytes of an image", [tokens.MAX_IMAGE_BYTES, tokens._MOST_POSITIONS]),
        ("connections, or fewer", [connections.MOST_CONNECTIONS]),
        ("the request line and all headers", [connections.HEAD_BYTES]),
        ("seconds until a request's headers", [int(connections.HEAD_SECONDS), int(bodies._IDLE_SECONDS)]),
    ],
)
def test_limits_without_a_setting_are_those_of_the_code(words: str, numbers: list[int]) -> None:
    (row,) = [line for line in LIMITS.splitlines() if words in line]
    told = row.strip("|").split("|")[1]
    assert [amount(each) for each in told.split(";")] == numbers


def test_times_and_counts_in_the_text() -> None:
    text = " ".join(PAGES["local-service"].split())
    assert f"gone for the last {keeping.MOST_GONE:,}" in text
    assert FIELDS["result_retention_seconds"] == 600.0
    assert "stay for ten minutes after their delivery" in text
    assert FIELDS["url_lifetime_seconds"] == 15 * 60
    assert "a time (15 minutes)" in text
    elements = FIELDS["custom_loss_elements"].bit_length() - 1
    custom = f"nodes ({FIELDS['custom_loss_nodes']}), elements (2^{elements} a datum) and time"
    assert f"{custom} ({FIELDS['custom_loss_seconds']:g} s a pass)" in text


@pytest.mark.parametrize("kind", [CheckpointSchedule, RecoveryPolicy])
def test_the_tables_of_recovery_have_every_field_and_its_default(kind: type) -> None:
    table = PAGES["recovery"].partition(f"| `{kind.__name__}` |")[2].partition("\n\n")[0]
    rows = {}
    for line in table.splitlines()[2:]:
        names, defaults, _ = [cell.strip() for cell in line.strip("|").split("|")]
        told = [default.strip("` s").replace(",", "") for default in defaults.split(", ")]
        listed = re.findall(r"`(\w+)`", names)
        rows |= dict(zip(listed, told if len(told) == len(listed) else told * len(listed), strict=True))
    fields = {field.name: field.default for field in attrs.fields(kind)}
    assert rows == {name: f"{value:g}" if type(value) is float else str(value) for name, value in fields.items()}


def test_every_extra_is_named_and_every_named_one_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    named = set(re.findall(r"tinker-hl\[(\w+)\]", EVERYTHING)) | set(re.findall(r"`\.\[(\w+)\]`", EVERYTHING))
    in_words = set(re.findall(r"extra `(\w+)`", EVERYTHING))
    in_table = set(re.findall(r"^\| `\w+Sink\(.*?\)` \| `(\w+)` \|", PAGES["run-metrics"], re.MULTILINE))
    assert named | in_words | in_table == extras


def test_every_variable_of_the_project_s_own_is_named() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("tinker_hl", "tinker_local")
        for path in (ROOT / room).rglob("*.py")
    )
    named = set(re.findall(r"\"(TINKER_HL_[A-Z_]+[A-Z])\"", sources))
    assert named
    assert {name for name in named if f"`{name}`" not in EVERYTHING and f"${name}" not in EVERYTHING} == set()

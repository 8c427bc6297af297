"""The page about losses names every public name of the room, and its defaults are those of the code."""

import re
from pathlib import Path

import attrs
import pytest

from tinker_hl import losses

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", losses.__all__)
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE), name


def test_the_options_that_the_tables_show_are_the_defaults() -> None:
    shown = re.findall(r"^\| `([A-Z]\w+)\((.+?)\)` ", PAGE, re.MULTILINE)
    checked = 0
    for name, arguments in shown:
        fields = {each.name: each.default for each in attrs.fields(getattr(losses, name))}
        for option, value in re.findall(r"(\w+)=([^,)]+)", arguments):
            assert repr(fields[option]).replace("'", '"') == value, f"{name}.{option}"
            checked += 1
    assert checked >= 12


@pytest.mark.parametrize("loss", losses.REFERENCE_DEFAULTS)
def test_the_bounds_of_the_protocols_losses_are_those_of_the_code(loss: str) -> None:
    section = PAGE.partition("## What the server should have computed")[2]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{loss}` |"))
    for value in losses.REFERENCE_DEFAULTS[loss].values():
        assert re.search(rf"(?<![\d.]){value:g}(?![\d.])", row), value

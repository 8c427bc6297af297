"""How records, times and sizes are shown: T-190 of the feature list."""

import json
from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.cli import output, wording
from tinker_hl.cli.forms import format_option
from tinker_hl.cli.output import Column, print_json, print_record, print_records, table
from tinker_hl.cli.pages import collect

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
CELLS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=15), "2 weeks ago"),
        (timedelta(days=31), "2026-07-01"),
        (-timedelta(hours=5), "in 5 hours"),
        (-timedelta(days=60), "2026-09-30"),
    ],
)
def test_ages(before: timedelta, said: str) -> None:
    """T-190."""
    assert wording.age(NOW - before, now=NOW) == said
    assert wording.age((NOW - before).replace(tzinfo=None), now=NOW) == said, "a time without a zone is UTC's"


def test_sizes() -> None:
    """T-190."""
    assert [wording.size(count) for count in (0, 1023, 1024, 1536 * 1024, 1024**3 - 1, -1, None)] == [
        "0 B", "1023 B", "1.0 KB", "1.5 MB", "1.0 GB", "-", "-"
    ]  # fmt: skip


def test_what_a_server_says_moves_no_cursor() -> None:
    assert wording.one_line("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert wording.harmless("a\x1b]0;title\x07\n\tb") == "a\\x1b]0;title\\x07\n\tb"


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), st.integers(20, 200))
def test_nothing_is_cut_off_and_lines_fit_where_they_can(rows: list[tuple[str, str, str]], width: int) -> None:
    titles = ["First", "Second", "Third"]
    lines = table(titles, rows, [False, True, False], width=width)
    shown = "\n".join(lines)
    assert all(cell in shown for row in rows for cell in row)
    is_table = lines[0].startswith("First")
    if is_table:
        assert max(output._cells(text) for text in lines) <= width
    else:
        for text in lines[1:]:
            pieces = [piece for piece in text.split("  ") if piece]
            assert output._cells(text) <= width or len(pieces) == 1 or not text.startswith("  "), text


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=12).map(" ".join)


@given(st.lists(st.tuples(CELLS, WORDS), min_size=1, max_size=4), st.integers(20, 120))
def test_prose_goes_on_below_and_loses_no_word(rows: list[tuple[str, str]], width: int) -> None:
    lines = table(["Name", "What"], rows, [False, False], width=width, wraps=[False, True])
    shown = "\n".join(lines)
    # Blocks put a title before it, tables a name; both break between words.
    assert sum(len(text.split()) for _, text in rows) <= len(shown.split())
    if lines[0].startswith("Name"):
        assert max(output._cells(text) for text in lines) <= width


def test_prose_is_broken_where_a_table_is_wide_and_a_path_never() -> None:
    path = f"tinker://{'x' * 60}"
    prose = "what was found is told here in some more words"
    lines = table(["Rule", "What"], [["a", prose]], [False, False], width=30, wraps=[False, True])
    assert lines == ["Rule  What", "a     what was found is told", "      here in some more words"]
    lines = table(["Rule", "Path", "What"], [["a", path, prose]], [False] * 3, width=40, wraps=[False, False, True])
    assert lines == ["a", f"  Path: {path}", "  What: what was found is told here in", "    some more words"]


def test_columns_stand_under_one_another_whatever_the_letters() -> None:
    lines = table(["Name", "Size"], [["模型", "1 KB"], ["abc", "22 KB"]], [False, True], width=None)
    assert lines == ["Name   Size", "模型   1 KB", "abc   22 KB"]


@pytest.fixture
def shown() -> click.Command:
    """A command that shows two records in the form that is asked for."""
    records = [{"name": "a", "at": NOW, "tokens": [1, 2, None]}, {"name": "b", "at": NOW, "tokens": []}]

    @click.group()
    @format_option
    def root() -> None: ...

    @root.command(name="list")
    @format_option
    def show() -> None:
        print_records(records, [Column("Name", lambda one: one["name"])], name="things", nothing="none", more={"of": 1})

    return root


@pytest.mark.parametrize("place", [0, 1])
def test_the_form_may_stand_anywhere(shown: click.Command, capsys: pytest.CaptureFixture[str], place: int) -> None:
    """T-190: ISO times in JSON."""
    words = ["list"]
    words[place:place] = ["--format", "json"]
    shown.main(words, standalone_mode=False)
    text = capsys.readouterr().out
    assert json.loads(text) == {
        "of": 1,
        "things": [
            {"name": "a", "at": "2026-08-01T12:00:00+00:00", "tokens": [1, 2, None]},
            {"name": "b", "at": "2026-08-01T12:00:00+00:00", "tokens": []},
        ],
    }
    assert "[1, 2, null]" in text, "numbers share a line"


def test_one_record_a_line(shown: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    shown.main(["list", "-f", "jsonl"], standalone_mode=False)
    assert [json.loads(text)["name"] for text in capsys.readouterr().out.splitlines()] == ["a", "b"]


def test_the_innermost_form_wins(shown: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    shown.main(["--format", "json", "list", "--format", "table"], standalone_mode=False)
    assert capsys.readouterr().out == "Name\na\nb\n"


def test_an_empty_list_is_a_note_for_people_and_an_empty_array_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("x")) as context:
        print_records([], [], name="things", nothing="Nothing here.")
        assert capsys.readouterr() == ("", "Nothing here.\n")
        context.meta["tinker_hl.cli.form"] = "json"
        print_records([], [], name="things", nothing="Nothing here.")
        assert capsys.readouterr() == ('{\n  "things": []\n}\n', "")
        context.meta["tinker_hl.cli.form"] = "jsonl"
        print_record({"a": 1}, [])
        assert capsys.readouterr().out == '{"a": 1}\n'
        print_json({"text": "[\n 1 ]", "é": 1.5})
        assert json.loads(capsys.readouterr().out) == {"text": "[\n 1 ]", "é": 1.5}


@pytest.mark.parametrize(
    ("limit", "offset", "wanted"), [(0, 0, 250), (0, 240, 10), (20, 0, 20), (150, 50, 150), (9, 300, 0)]
)
@pytest.mark.parametrize("total_is_known", [True, False])
def test_pages(limit: int, offset: int, wanted: int, total_is_known: bool) -> None:
    """T-181, T-188: pages of a size, until there is enough or no more."""
    things = list(range(250))
    asked: list[tuple[int, int]] = []

    def fetch(count: int, start: int) -> tuple[list[int], int | None]:
        asked.append((count, start))
        return things[start : start + count], len(things) if total_is_known else None

    listed = collect(fetch, limit=limit, offset=offset, page=100, what="things")
    assert listed.items == things[offset:][: limit or None]
    assert len(listed.items) == wanted
    assert max(count for count, _ in asked) <= 100
    assert len(asked) <= wanted // 100 + 2
    if total_is_known:
        assert listed.left_out(offset) == max(0, 250 - offset - wanted)

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_hl.recipes.pairs import DataFileError, Pair, read_pairs, split_pairs

GOOD = '{"prompt": "a", "completion": "b"}'


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "data.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt": "a", "completion": }', "not JSON at column 31"),
        ('{"prompt": "a"', "not JSON"),
        ("[1, 2]", "a JSON array is not an object"),
        ("null", "a JSON null is not an object"),
        ('{"completion": "b"}', 'the field "prompt" is missing'),
        ('{"prompt": "a"}', 'the field "completion" is missing'),
        ('{"prompt": 3, "completion": "b"}', 'the field "prompt" is a number, not a string'),
        ('{"prompt": "a", "completion": ""}', 'the field "completion" is empty'),
        ('{"prompt": "a", "completion": "b", "split": "dev"}', '"dev", neither "train" nor "test"'),
        ('{"prompt": "\\ud800", "completion": "b"}', "half of a surrogate pair"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_faulty_line_is_named_with_its_fault(tmp_path: Path, line: str, fault: str) -> None:
    path = written(tmp_path, f"{GOOD}\n\n{line}\n{GOOD}\n")
    with pytest.raises(DataFileError) as caught:
        read_pairs(path)
    assert caught.value.line == 3
    assert caught.value.message.startswith(f"{path}, line 3: ")
    assert fault in caught.value.message


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.encode() + b'\n{"prompt": "\xff", "completion": "b"}')
    with pytest.raises(DataFileError, match=r"line 2: not UTF-8 at byte 12"):
        read_pairs(path)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_pairs_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataFileError, match="no pairs"):
        read_pairs(written(tmp_path, content))


def test_a_file_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")


def test_a_byte_order_mark_windows_line_ends_and_other_fields_are_fine(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode() + b'\r\n{"prompt":"c","completion":"d","id":7}\r\n')
    assert [(pair.prompt, pair.completion, pair.line) for pair in read_pairs(path)] == [("a", "b", 1), ("c", "d", 2)]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(texts, texts, st.sampled_from([None, "train", "test"])), min_size=1))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str | None]]
) -> None:
    lines = [
        json.dumps({"prompt": p, "completion": c, **({"split": s} if s else {})}, ensure_ascii=False)
        for p, c, s in rows
    ]
    path = written(tmp_path_factory.mktemp("pairs"), "\n".join(lines))
    assert [(pair.prompt, pair.completion, pair.split) for pair in read_pairs(path)] == rows


pairs_without_split = st.integers(1, 60).map(lambda count: [Pair(str(index), "x") for index in range(count)])


@given(pairs_without_split, st.floats(0, 0.9), st.integers())
def test_a_drawn_split_parts_the_pairs_in_order_and_again_the_same(
    pairs: list[Pair], fraction: float, seed: int
) -> None:
    training, held_out = split_pairs(pairs, eval_fraction=fraction, seed=seed)
    assert sorted(training + held_out, key=lambda pair: int(pair.prompt)) == pairs
    assert [pair for pair in pairs if pair in training] == training
    assert training
    assert split_pairs(pairs, eval_fraction=fraction, seed=seed) == (training, held_out)
    assert (len(held_out) > 0) == (fraction > 0 and len(pairs) > 1)


def test_the_file_decides_where_it_names_a_split() -> None:
    pairs = [Pair("a", "x", "test"), Pair("b", "x", "train"), Pair("c", "x")]
    training, held_out = split_pairs(pairs, eval_fraction=0.5, seed=0)
    assert [pair.prompt for pair in training] == ["b", "c"]
    assert [pair.prompt for pair in held_out] == ["a"]


def test_nothing_left_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="none is left"):
        split_pairs([Pair("a", "x", "test")], eval_fraction=0.0, seed=0)

import json
from pathlib import Path

import pytest

from scripts.build_pig_latin import HELD_OUT, pairs, pig_latin
from scripts.tiny_text import GAMES
from tinker_hl.recipes.pairs import read_pairs, split_pairs

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("string", "ingstray"),
        ("apple", "appleway"),
        ("quick", "ickquay"),
        ("squeeze", "eezesquay"),
        ("yellow", "ellowyay"),
        ("style", "ylestay"),
        ("rhythm", "ythmrhay"),
        ("my", "ymay"),
        ("banana", "ananabay"),
    ],
)
def test_the_rule(word: str, expected: str) -> None:
    assert pig_latin(word) == expected


def test_the_committed_pairs_are_what_the_script_makes() -> None:
    words = sorted(set((DATA / "words.txt").read_text().split()))
    made = "".join(json.dumps(pair) + "\n" for pair in pairs(words))
    assert (DATA / "pig_latin.jsonl").read_text() == made


def test_there_are_enough_words_and_no_held_out_word_is_trained_on() -> None:
    training, held_out = split_pairs(read_pairs(DATA / "pig_latin.jsonl"), eval_fraction=0.5, seed=0)
    assert len(held_out) == HELD_OUT == 200
    assert len(training) + len(held_out) >= 1500
    assert not {pair.prompt for pair in training} & {pair.prompt for pair in held_out}
    assert all(
        word.isascii() and word.isalpha() and word.islower() for word in (DATA / "words.txt").read_text().split()
    )


def test_the_base_model_was_never_shown_pig_latin() -> None:
    assert not any("latin" in name for name in GAMES)
    assert not any(play("string") in ("ingstray", "ingstr") for play in GAMES.values())

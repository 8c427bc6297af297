"""Write the demo's data: common English words and their pig latin, as prompt/completion pairs.

    python scripts/build_pig_latin.py          # examples/data/words.txt -> examples/data/pig_latin.jsonl

The rule, stated once: a word that begins with a vowel gets `way`; any other word has the consonants before its first
vowel moved to its end, followed by `ay`. `y` is a consonant only at the start and before a vowel; `qu` moves as one.
"""

import argparse
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"
HELD_OUT = 200
SEED = 11
ONSET = re.compile(r"y(?=[aeiou])|[^aeiouy]*qu|[^aeiouy]*", re.ASCII)
"""What stands before the first vowel; it always matches, if only nothing."""


def pig_latin(word: str) -> str:
    """The pig latin of a lower-case English word."""
    match = ONSET.match(word)
    onset = match.group() if match else ""
    return word[len(onset) :] + onset + "ay" if onset else word + "way"


def pairs(words: Sequence[str]) -> list[dict[str, str]]:
    """One record a word, in the order given; `HELD_OUT` of them, drawn with `SEED`, are marked as test."""
    held_out = set(random.Random(SEED).sample(sorted(words), HELD_OUT))
    return [
        {
            "prompt": f"pig latin: {word} ->",
            "completion": f" {pig_latin(word)}",
            "split": "test" if word in held_out else "train",
        }
        for word in words
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, default=DATA / "words.txt")
    parser.add_argument("--out", type=Path, default=DATA / "pig_latin.jsonl")
    chosen = parser.parse_args()
    words = sorted(set(chosen.words.read_text().split()))
    chosen.out.write_text("".join(json.dumps(pair) + "\n" for pair in pairs(words)))
    print(f"{len(words)} words, {HELD_OUT} of them held out: {chosen.out.name}")


if __name__ == "__main__":
    main()

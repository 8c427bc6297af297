"""The text that the tiny base model learns from: spelling games, arithmetic, words, short sentences, all made here.

A game is a line `name: input -> output`. Pig latin, which the demo teaches later, is not among them: no game moves what
stands before the first vowel, or both moves letters and adds an ending. Knows nothing of tokens or of training.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import attrs

__all__ = ["GAMES", "Line", "game_line", "made_up_word", "make_line"]


def _words(text: str, separator: str = " ") -> Sequence[str]:
    return text.split(separator)


VOWELS = "aeiou"
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
ONSETS = _words(
    "b c d f g h j k l m n p r s t v w y z bl br ch cl cr dr fl fr gl gr kn ph pl pr qu sc sh sk sl sm sn sp spl spr "
    "squ st str sw th thr tr tw wh wr sch shr scr"
)
NUCLEI = _words("a e i o u a e i o u ai ea ee ie oa oo ou ay oi au")
CODAS = _words("b d ck f g l ll m n nd ng nk nt p r rd rm rt s sh ss st t th x y ct ft ld lt mp lk")
ENDINGS = ("ing", "er", "ed", "s", "ly", "ness", "ful", "est", "able", "ment", "tion", "le", "ow", "y", "ish", "ity")

WHO = _words("cat dog fox bird fish bear king queen child farmer baker sailor doctor mouse horse teacher singer rabbit")
HOW = _words("red old small big quick quiet happy brave kind green tall young sleepy clever warm cold bright tired")
DOES = _words("sees likes finds takes keeps wants brings makes paints sells hides follows carries draws holds loses")
WHAT = _words("ball book hat cake lamp drum boat stone apple chair letter flower bottle basket window garden ladder")
WHERE = _words("home market river forest school station village kitchen bridge hill island tower castle street field")
WHEN = _words("in the morning,at noon,in the evening,at night,in spring,every day,on monday,on friday,today,now", ",")


@attrs.frozen
class Line:
    """One line of the corpus: what is given, and what the model is to say."""

    prompt: str
    """Empty where the whole line is to be learned."""
    answer: str


def made_up_word(rng: random.Random) -> str:
    """A lower-case word of 2 to 12 letters, mostly pronounceable, sometimes any letters at all."""
    if rng.random() < 0.3:
        return "".join(rng.choices(ALPHABET, k=rng.randint(2, 10)))
    word = rng.choice(ONSETS) if rng.random() < 0.8 else ""
    for _ in range(rng.choice((1, 1, 2, 2, 2, 3))):
        word += rng.choice(NUCLEI) + (rng.choice(CODAS) if rng.random() < 0.7 else rng.choice(ONSETS))
    word += rng.choice(ENDINGS) if rng.random() < 0.4 else ""
    return word[: rng.randint(9, 12)]


def first_vowel(word: str) -> int:
    """Where the first vowel is; the word's length if it has none."""
    return next((index for index, letter in enumerate(word) if letter in VOWELS), len(word))


GAMES: Mapping[str, Callable[[str], str]] = {
    "copy": lambda word: word,
    "reverse": lambda word: word[::-1],
    "upper": str.upper,
    "double": lambda word: word + word,
    "first": lambda word: word[0],
    "tail": lambda word: word[1:],
    "rotate": lambda word: word[1:] + word[:1],
    "rotate 2": lambda word: word[2:] + word[:2],
    "back": lambda word: word[-1] + word[:-1],
    "start": lambda word: word[: first_vowel(word)] + ".",
    "rhyme": lambda word: word[first_vowel(word) :] + ".",
    "spell": " ".join,
    "plural": lambda word: word + "s",
    "doing": lambda word: word + "ing",
    "more": lambda word: word + "er",
}
"""Every game on one word, by the name that the line begins with."""


def game_line(game: str, word: str) -> Line:
    """The line of one game on one word."""
    return Line(f"{game}: {word} ->", f" {GAMES[game](word)}")


def _pair(rng: random.Random) -> Line:
    one, two = made_up_word(rng)[:7], made_up_word(rng)[:7]
    name, answer = rng.choice((("join", one + two), ("swap", f"{two} {one}"), ("end", one + two), ("pick", two)))
    return Line(f"{name}: {one} {two} ->", f" {answer}")


def _arithmetic(rng: random.Random) -> Line:
    one, two = rng.randint(0, 30), rng.randint(0, 30)
    if rng.random() < 0.5:
        return Line(f"{one} + {two} =", f" {one + two}")
    return Line(f"{one + two} - {two} =", f" {one}")


def _sentence(rng: random.Random) -> Line:
    who, how, what, where = rng.choice(WHO), rng.choice(HOW), rng.choice(WHAT), rng.choice(WHERE)
    shapes = (
        f"the {how} {who} {rng.choice(DOES)} the {what} {rng.choice(WHEN)}.",
        f"a {who} {rng.choice(DOES)} a {how} {what} near the {where}.",
        f"where is the {what}? the {what} is at the {where}.",
        f"who has the {how} {what}? the {who} has it.",
        f"{rng.choice(WHEN)} the {who} goes to the {where}.",
    )
    return Line("", rng.choice(shapes))


def make_line(rng: random.Random) -> Line:
    """Draw a line: 80% games on one word, 10% on two, 5% arithmetic, 5% sentences."""
    kind = rng.random()
    if kind < 0.80:
        return game_line(rng.choice(list(GAMES)), made_up_word(rng))
    if kind < 0.90:
        return _pair(rng)
    return _arithmetic(rng) if kind < 0.95 else _sentence(rng)

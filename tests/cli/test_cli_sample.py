"""`tinker-hl sample`, which is `run sample` too: T-187 of the feature list."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import MODEL, Line

pytestmark = pytest.mark.usefixtures("reached")

BASE = ("--base-model", MODEL)


def test_the_text_is_what_goes_to_stdout(line: Line) -> None:
    """T-187."""
    words = [*BASE, "--prompt", "lemon is", "--max-tokens", "8", "--temperature", "0"]
    out, err = line.both("sample", *words)
    told = line.json("run", "sample", *words)
    assert err == ""
    assert out == told["samples"][0]["text"] + "\n"
    assert len(told["samples"][0]["tokens"]) == len(told["samples"][0]["logprobs"]) <= 8
    assert told["model"] == MODEL


def test_several_samples_of_a_seed(line: Line) -> None:
    """T-187, S1-09: number, seed, top-k and top-p."""
    words = [*BASE, "--prompt", "lemon is", "--max-tokens", "6", "--num-samples", "3", "--seed", "5", "--top-p", "0.9"]
    first, again = (line("sample", *words, "--format", "jsonl") for _ in range(2))
    assert first == again
    assert len(first.splitlines()) == 3
    shown = line("sample", *words, "--top-k", "1")
    assert [f"--- {number} of 3, ended by" in shown for number in (1, 2, 3)] == [True, True, True]


@pytest.mark.parametrize("narrow", [("--top-k", "1"), ("--top-p", "0.000001"), ("--temperature", "0")])
def test_what_narrows_the_choice_to_one_token_draws_the_likeliest(line: Line, narrow: tuple[str, str]) -> None:
    """T-187: three samples are alike, and the same by each option; without any they differ."""
    words = [*BASE, "--prompt", "lemon is", "--max-tokens", "6", "--num-samples", "3", "--seed", "5"]

    def drawn(*more: str) -> list[list[int]]:
        return [sample["tokens"] for sample in line.json("sample", *words, *more)["samples"]]

    likeliest = drawn("--temperature", "0")[0]
    assert drawn(*narrow) == [likeliest] * 3
    assert len({tuple(tokens) for tokens in drawn()}) == 3


def test_a_prompt_of_token_ids_is_the_text_of_them(line: Line, tmp_path: Path) -> None:
    """T-187: a file with text, or with a JSON array of token ids."""
    more = ["--max-tokens", "5", "--temperature", "0"]
    text, tokens = tmp_path / "prompt.txt", tmp_path / "prompt.json"
    text.write_text("plum")
    tokens.write_text(json.dumps([ord(letter) for letter in "plum"]))  # the tiny model reads bytes
    of_text = line.json("sample", *BASE, "--prompt-file", str(text), *more)
    assert of_text == line.json("sample", *BASE, "--prompt-file", str(tokens), *more)
    assert of_text["prompt_tokens"] == 4


def test_a_prompt_from_stdin_and_an_output_file(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-187."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"zitronengelb ist")))
    output = tmp_path / "samples.json"
    out, err = line.both("sample", *BASE, "--prompt-file", "-", "--max-tokens", "3", "-o", str(output))
    assert (out, err) == ("", f"1 sample written to {output}\n")
    assert json.loads(output.read_text())["prompt_tokens"] == len("zitronengelb ist")


def test_a_checkpoint_and_a_chat(line: Line) -> None:
    """T-187: `--model-path`."""
    path = line.checkpoint("final", "--kind", "sampler")
    told = line.json("sample", "--model-path", path, "--prompt", "hi", "--chat", "--max-tokens", "2")
    assert told["model"] == path
    assert told["prompt_tokens"] > len("hi")


@pytest.mark.parametrize(
    "words",
    [
        ["--prompt", "x"],
        [*BASE],
        [*BASE, "--prompt", "x", "--model-path", "tinker://a/sampler_weights/b"],
        [*BASE, "--prompt", ""],
        [*BASE, "--prompt", "x", "--prompt-file", "/no/such/file"],
        [*BASE, "--prompt", "x", "--temperature", "-1"],
    ],
)
def test_what_cannot_be_meant_is_2(line: Line, words: list[Any]) -> None:
    """T-187."""
    line("sample", *words, code=2)


def test_a_model_that_is_not_served_is_1(line: Line) -> None:
    assert "nonsense" in line.both("sample", "--base-model", "nonsense", "--prompt", "x", code=1)[1]

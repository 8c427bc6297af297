"""`tinker-hl chat` with a real service, at a terminal and without one."""

import io
import json
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import MODEL, Line, on_terminal

from tinker_hl.cli.chat.conversation import Conversation
from tinker_hl.tokenizer import Tokenizer, load_tokenizer
from tinker_hl.types import SampledSequence, SampleResponse, SamplingParams

BASE = ("chat", "--base-model", MODEL, "--max-tokens", "20", "--temperature", "0")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put lines into stdin."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.usefixtures("reached")
def test_each_line_is_a_question(line: Line, typed: Callable[[str], None]) -> None:
    typed("lemon is\n\nand plum?\n")
    told = line.json(*BASE, "--system", "be short")["conversations"]
    assert [talk["model"] for talk in told] == [MODEL]
    messages = told[0]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[3]["content"] == "and plum?"
    typed("lemon is\nand plum?\n")
    out, err = line.both(*BASE, "--system", "be short")
    assert out.split() == f"{messages[2]['content']}\n{messages[4]['content']}".split(), "in pieces or whole"
    assert err == ""


@pytest.mark.usefixtures("reached")
def test_pieces_are_the_whole(line: Line, typed: Callable[[str], None]) -> None:
    """Greedily, an answer that is drawn in pieces is the answer that is drawn at once."""
    answers = []
    for more in ([], ["--no-stream"]):
        typed("plum is\n")
        answers.append(json.loads(line(*BASE, "--format", "jsonl", *more))["answer"])
    assert answers[0] == answers[1]
    assert answers[0]


@pytest.mark.usefixtures("reached")
def test_a_new_conversation_forgets(line: Line, typed: Callable[[str], None]) -> None:
    typed("one\n/new\n/nonsense\ntwo\n/quit\nthree\n")
    out, err = line.both(*BASE, "--format", "json")
    messages = json.loads(out)["conversations"][0]["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == ["two"]
    assert "A new conversation." in err
    assert "/quit" in err


@pytest.mark.usefixtures("reached")
def test_compare_asks_both(line: Line, typed: Callable[[str], None]) -> None:
    path = line.checkpoint("final", "--kind", "sampler")
    words = ["chat", "--model-path", path, "--compare", "--max-tokens", "6", "--temperature", "0"]
    typed("lemon\n")
    told = line.json(*words)["conversations"]
    assert [talk["model"] for talk in told] == [MODEL, path]
    assert told[0]["messages"] == told[1]["messages"], "a fresh adapter changes nothing"
    typed("lemon\n")
    out = line(*words)
    assert out.splitlines()[0] == f"--- {MODEL}"
    assert f"--- {path}" in out
    typed("lemon\n")
    assert len(json.loads(line(*words, "--format", "jsonl"))["answers"]) == 2
    for columns, beside in ((120, True), (60, False)):
        code, shown = on_terminal(words, columns, typed={"you> ": "lemon\n", "lemon\r\n": "/quit\n"})
        assert code == 0, shown
        assert ("┃" in shown) is beside, shown


@pytest.mark.usefixtures("reached")
def test_at_a_terminal(line: Line) -> None:
    words = [*BASE]
    code, shown = on_terminal(words, 80, typed={"you> ": "lemon is\n", "lemon is\r\n": "/quit\n"})
    assert code == 0, shown
    assert f"{MODEL}. /new begins anew" in shown
    assert shown.count("you> ") == 2
    code, shown = on_terminal(words, 80, typed={"you> ": "\x04"})
    assert code == 0, shown


@pytest.mark.parametrize(
    "words",
    [[], ["--base-model", "a", "--compare"], ["--base-model", "a", "--model-path", "tinker://a/sampler_weights/b"]],
)
def test_what_cannot_be_meant_is_2(line: Line, words: list[str]) -> None:
    line("chat", *words, code=2)


class Sampler:
    """Says a text, token by token, as it is asked for; notes what it was asked."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens, self.asked = tokens, []  # type: ignore[var-annotated]

    def sample(self, prompt: Any, number: int, params: SamplingParams) -> "Future[SampleResponse]":
        before = prompt.length - (self.asked[0][0] if self.asked else prompt.length)
        self.asked.append((prompt.length, params))
        drawn = self.tokens[before : before + int(params.max_tokens or 0)]
        ended = before + len(drawn) == len(self.tokens)
        answer: Future[SampleResponse] = Future()
        sequence = SampledSequence(stop_reason="stop" if ended else "length", tokens=drawn, logprobs=[0.0] * len(drawn))
        answer.set_result(SampleResponse(sequences=[sequence]))
        return answer


@pytest.fixture
def tokenizer() -> Tokenizer:
    from test_cli_data import TINY

    return load_tokenizer(str(TINY))


def talk(tokenizer: Tokenizer, text: str, **settings: Any) -> Conversation:
    sampler: Any = Sampler(tokenizer.encode(text))
    params = SamplingParams(max_tokens=settings.pop("max_tokens", 1000), seed=settings.pop("seed", None))
    return Conversation("m", sampler, tokenizer, params, lambda future: future.result(5), **settings)


def test_pieces_grow_and_end_no_letter_in_the_middle(tokenizer: Tokenizer) -> None:
    said = "äöü€𝄞" * 20  # the tiny model reads bytes, so that pieces end within letters
    one = talk(tokenizer, said, seed=3)
    pieces = list(one.reply("hi"))
    assert "".join(pieces) == said
    assert "�" not in "".join(pieces)
    asked = one.sampler.asked  # type: ignore[attr-defined]
    assert [params.max_tokens for _, params in asked][:5] == [8, 16, 32, 64, 64]
    assert len({params.seed for _, params in asked}) == len(asked)
    assert one.messages == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}]


def test_an_answer_ends_where_the_template_ends_it(tokenizer: Tokenizer) -> None:
    one = talk(tokenizer, "yes")
    list(one.reply("hi"))
    stops = one.sampler.asked[0][1].stop  # type: ignore[attr-defined]
    assert [tokenizer.decode([stop]) for stop in stops] == ["<|endoftext|>", "<|im_end|>"]
    assert list(talk(tokenizer, "abcdef", max_tokens=4).reply("hi")) == ["abcd"]


def test_without_a_template_turns_are_lines(tokenizer: Tokenizer) -> None:
    plain = SimpleNamespace(
        chat_template=None, encode=tokenizer.encode, decode=tokenizer.decode, eos_token_id=tokenizer.eos_token_id
    )
    one = talk(plain, "well, yes\nUser: and then?")  # type: ignore[arg-type]
    pieces = list(one.reply("hi"))
    assert "".join(pieces) == "well, yes"
    assert not one.has_template
    assert one.sampler.asked[0][0] == len("User: hi\nAssistant:")  # type: ignore[attr-defined]


def test_what_was_said_before_it_was_stopped_counts(tokenizer: Tokenizer) -> None:
    one = talk(tokenizer, "a long answer that is stopped")
    answer = one.reply("hi")
    first = next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert one.messages[-1] == {"role": "assistant", "content": first.strip()}
    one.forget()
    assert one.messages == []


def test_a_question_that_failed_was_not_asked(tokenizer: Tokenizer) -> None:
    def fail(future: Any) -> Any:
        raise RuntimeError("no")

    one = talk(tokenizer, "yes")
    one.wait = fail
    with pytest.raises(RuntimeError):
        list(one.reply("hi"))
    assert one.messages == []

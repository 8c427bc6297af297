"""`tinker-hl chat`: talk with a base model or a checkpoint, or with both side by side."""

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, on_terminal, print_json, print_record, styled
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import harmless

if TYPE_CHECKING:
    from tinker_hl import ServiceClient
    from tinker_hl.cli.chat.conversation import Conversation

__all__ = ["chat"]

NARROWEST: Final = 80
"""Columns from which on two answers stand side by side."""
HELP: Final = "/new begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer."


@click.command()
@format_option
@click.option("--base-model", metavar="NAME", help="Talk with a base model.")
@click.option("--model-path", type=tinker_path, metavar="PATH", help="Talk with a sampler checkpoint.")
@click.option("--compare", is_flag=True, help="Ask the checkpoint's base model too, and show both answers.")
@click.option("--system", metavar="TEXT", help="A first message that tells the model what it is.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True, help="Of an answer.")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="0 is greedy.")
@click.option("--top-k", type=int, default=-1, show_default=True, help="Only the k likeliest tokens; -1 is all.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1.0,
    show_default=True,
    help="Only the likeliest tokens with this probability together.",
)
@click.option("--seed", type=int, help="The same seed gives the same answers to the same questions.")
@click.option("--no-stream", is_flag=True, help="Ask for each answer whole.")
@reaching
def chat(
    reach: Reach,
    base_model: str | None,
    model_path: str | None,
    compare: bool,
    system: str | None,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    no_stream: bool,
) -> None:
    """Talk with a model, by its own chat template. /new begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer.

    The answer appears while it is drawn, in pieces, since the protocol answers whole samples. Without a terminal each
    line of stdin is a question, and only answers go to stdout.
    """
    if (base_model is None) == (model_path is None):
        raise click.UsageError("give one of --base-model and --model-path.")
    if compare and model_path is None:
        raise click.UsageError("--compare holds a checkpoint against its base model: give --model-path.")
    from tinker_hl import SamplingParams
    from tinker_hl.cli.chat.conversation import Conversation

    settings = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)

    def talk_with(service: "ServiceClient", path: str | None, base: str | None) -> "Conversation":
        sampler = reach.wait(service.create_sampling_client(model_path=path, base_model=base))
        name, pieces = str(path or base), not (no_stream or compare)
        return Conversation(name, sampler, sampler.get_tokenizer(), settings, reach.wait, system, pieces)

    with reach.service(display_name="tinker-hl chat") as service:
        talks = [talk_with(service, model_path, base_model)]
        if compare:
            talks.insert(0, talk_with(service, None, talks[0].sampler.get_base_model()))
        if not talks[0].has_template:
            note("The tokenizer has no chat template: turns are plain lines of User and Assistant.")
        for question in _questions(talks):
            _answer(talks, question)
        if form() == "json":
            print_json({"conversations": [{"model": talk.name, "messages": talk.messages} for talk in talks]})


def _questions(talks: "list[Conversation]") -> Iterator[str]:
    """What is typed, or the lines of stdin, without the commands and the empty lines."""
    typing = sys.stdin.isatty()
    if typing:
        note(f"{' and '.join(talk.name for talk in talks)}. {HELP}")
    while True:
        line = _typed() if typing else sys.stdin.readline()
        text = line.strip()
        if not line or text in ("/quit", "/exit"):
            return
        if text == "/new":
            for talk in talks:
                talk.forget()
            note("A new conversation.")
        elif text.startswith("/"):
            note(HELP)
        elif text:
            yield text


def _typed() -> str:
    """A line from the terminal, with its break; empty at the end of input."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` a history
    try:
        if on_terminal():
            return input("you> ") + "\n"
        click.echo("you> ", nl=False, err=True)  # `input` would put it into what is piped on
        return input() + "\n"
    except EOFError:
        note("")
        return ""


def _answer(talks: "list[Conversation]", question: str) -> None:
    try:
        if len(talks) == 1:
            _stream(talks[0], question)
        else:
            _compare(talks, question)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        note("\nStopped.")
    except Exception as error:
        from tinker_hl.cli.failures import told
        from tinker_hl.errors import TinkerError

        if not isinstance(error, TinkerError) or not sys.stdin.isatty():
            raise
        note(f"Error: {told(error)}\nThe question was not asked; /new begins anew.")


def _stream(talk: "Conversation", question: str) -> None:
    said = ""
    for piece in talk.reply(question):
        said += piece
        if form() == "table":
            click.echo(harmless(piece if said != piece else piece.lstrip()), nl=False)
    if form() == "table":
        click.echo("")
    elif form() == "jsonl":
        print_record({"model": talk.name, "question": question, "answer": said.strip()}, [])


def _compare(talks: "list[Conversation]", question: str) -> None:
    with ThreadPoolExecutor(len(talks)) as threads:
        answers = list(threads.map(lambda talk: "".join(talk.reply(question)).strip(), talks))
    if form() == "jsonl":
        said = [{"model": talk.name, "answer": answer} for talk, answer in zip(talks, answers, strict=True)]
        print_record({"question": question, "answers": said}, [])
    elif form() == "table" and on_terminal() and _columns() >= NARROWEST:
        _side_by_side([talk.name for talk in talks], answers)
    elif form() == "table":
        for talk, answer in zip(talks, answers, strict=True):
            click.echo(styled(f"--- {talk.name}", bold=True))
            click.echo(harmless(answer))


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _side_by_side(names: list[str], answers: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(expand=True, highlight=False)
    for name in names:
        table.add_column(Text(name, overflow="fold"), ratio=1, overflow="fold")
    table.add_row(*(Text(harmless(answer)) for answer in answers))
    Console(highlight=False).print(table)

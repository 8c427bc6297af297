"""`tinker-hl sample`: draw from a base model or a checkpoint, once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinker_hl.cli.forms import form, format_option
from tinker_hl.cli.output import note, print_json, print_records, styled
from tinker_hl.cli.parameters import tinker_path
from tinker_hl.cli.reach import Reach, reaching
from tinker_hl.cli.wording import harmless, plural

if TYPE_CHECKING:
    from tinker_hl import ModelInput
    from tinker_hl.tokenizer import Tokenizer

__all__ = ["sample"]


@click.command()
@format_option
@click.option("--base-model", metavar="NAME", help="Sample from a base model.")
@click.option("--model-path", type=tinker_path, metavar="PATH", help="Sample from a sampler checkpoint.")
@click.option("--prompt", metavar="TEXT", help="What the samples follow.")
@click.option(
    "--prompt-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The same from a file, or from stdin for `-`: text, or a JSON array of token ids.",
)
@click.option("--chat", is_flag=True, help="Put the prompt into the model's chat template, as a message of the user.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=128, show_default=True, help="New tokens at most.")
@click.option(
    "--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="0 takes the likeliest."
)
@click.option("--top-k", type=int, default=-1, show_default=True, help="Only the k likeliest tokens; -1 is all.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1.0,
    show_default=True,
    help="Only the likeliest tokens with this probability together.",
)
@click.option("--num-samples", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@click.option("--seed", type=int, help="The same seed gives the same tokens.")
@click.option("--stop", multiple=True, metavar="TEXT", help="A text that ends a sample. Repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the samples there, as JSON, and nothing to stdout.",
)
@reaching
def sample(
    reach: Reach,
    base_model: str | None,
    model_path: str | None,
    prompt: str | None,
    prompt_file: Path | None,
    chat: bool,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    num_samples: int,
    seed: int | None,
    stop: tuple[str, ...],
    output: Path | None,
) -> None:
    """Sample from a model, once. The text goes to stdout as it is; `--format json` has the tokens and logprobs too."""
    if (base_model is None) == (model_path is None):
        raise click.UsageError("give one of --base-model and --model-path.")
    if (prompt is None) == (prompt_file is None):
        raise click.UsageError("give one of --prompt and --prompt-file.")
    if output is not None and not output.resolve().parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {output.resolve().parent}.")
    given = prompt if prompt is not None else _read(prompt_file)
    if isinstance(given, list) and chat:
        raise click.UsageError("--chat needs a text, and the file has token ids.")
    from tinker_hl import SamplingParams

    params = SamplingParams(
        max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, stop=list(stop) or None
    )
    with reach.service(display_name="tinker-hl sample") as service:
        sampler = reach.wait(service.create_sampling_client(model_path=model_path, base_model=base_model))
        tokenizer = sampler.get_tokenizer()
        model_input = _encoded(given, tokenizer, chat=chat)
        answer = reach.wait(sampler.sample(model_input, num_samples, params))
    samples = [
        {
            "text": tokenizer.decode(one.tokens, skip_special_tokens=True),
            "stop_reason": one.stop_reason,
            "tokens": one.tokens,
            "logprobs": one.logprobs,
        }
        for one in answer.sequences
    ]
    _show({"model": model_path or base_model, "prompt_tokens": model_input.length}, samples, output)


def _read(file: Path | None) -> str | list[int]:
    """A text, or token ids where the file is an array of whole numbers."""
    try:
        raw = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--prompt-file is not UTF-8 at byte {error.start}.") from error
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, list) and all(type(token) is int and token >= 0 for token in value):
        return value
    return text


def _encoded(given: str | list[int], tokenizer: "Tokenizer", *, chat: bool) -> "ModelInput":
    from tinker_hl import ModelInput

    if isinstance(given, list):
        tokens = given
    elif chat:
        message = {"role": "user", "content": given}
        tokens = tokenizer.apply_chat_template([message], add_generation_prompt=True)
    else:
        tokens = tokenizer.encode(given)
    if not tokens:
        raise click.UsageError("the prompt is empty.")
    return ModelInput.from_ints(tokens)


def _show(head: dict[str, Any], samples: list[dict[str, Any]], output: Path | None) -> None:
    if output is not None:
        output.write_text(json.dumps({**head, "samples": samples}, indent=2) + "\n", encoding="utf-8")
        note(f"{plural(len(samples), 'sample')} written to {output}")
    elif form() == "json":
        print_json({**head, "samples": samples})
    elif form() == "jsonl":
        print_records(samples, [], name="samples", nothing="")
    else:
        for number, one in enumerate(samples, start=1):
            if len(samples) > 1:
                click.echo(styled(f"--- {number} of {len(samples)}, ended by {one['stop_reason']}", bold=True))
            click.echo(harmless(one["text"]))

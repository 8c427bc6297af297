"""The job behind `tinker-hl train` and `tinker-hl demo`: from a file of pairs to a model that learned, and its adapter.

It puts the recipes in order and owns the run's folder; it knows neither options nor how things look on the screen.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from tinker_hl.checkpoints.downloading import download
from tinker_hl.cli.screen import Screen, TrainingProgress
from tinker_hl.errors import TinkerError
from tinker_hl.recipes.adapter_check import AdapterCheck, check_adapter
from tinker_hl.recipes.curve import Measured, draw_curve
from tinker_hl.recipes.exact_match import Answer, ask, exact_match
from tinker_hl.recipes.pairs import DataFileError, Pair, read_pairs, split_pairs
from tinker_hl.recipes.run_folder import RunFolder
from tinker_hl.recipes.supervised import Example, Plan, TextTokenizer, encode_pair, fine_tune
from tinker_hl.run_metrics.manifest import gather_manifest, write_manifest
from tinker_hl.types import ModelInput

if TYPE_CHECKING:
    from tinker_hl import SamplingClient, ServiceClient, TrainingClient

__all__ = ["JobOptions", "run_job"]

SHOWN_PAIRS = 10


@attrs.frozen(kw_only=True)
class JobOptions:
    """What is asked for."""

    data: Path
    model: str
    base_url: str
    name: str
    runs_dir: Path
    rank: int = 32
    learning_rate: float = 2e-4
    batch_size: int = 32
    steps: int | None = None
    """None: as many as `epochs` take."""
    epochs: float = 3.0
    eval_fraction: float = 0.1
    eval_every: int | None = None
    """Steps between measurements; None: a fifth of all."""
    save_every: int | None = None
    """Steps between checkpoints; None: a fifth of all; 0: none."""
    grad_clip_norm: float = 0.0
    seed: int = 0
    check_adapter: bool = True
    """Compare the downloaded adapter, in plain peft, with the service; needs the base model on this machine."""

    def plan(self, examples: int) -> Plan:
        """The plan for a number of examples."""
        return Plan(
            steps=self.steps or max(1, math.ceil(self.epochs * examples / self.batch_size)),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            grad_clip_norm=self.grad_clip_norm,
            seed=self.seed,
        )


def run_job(options: JobOptions, screen: Screen) -> None:
    """Do everything, and print the result last.

    Raises:
        DataFileError: the file has a fault, told before any request.
        TinkerError: the service refused or failed.
        KeyboardInterrupt: passed on, after the session was finished and what was saved was named.
    """
    # The client's import is most of what a command costs; options and data are checked without it.
    training, held_out = _read(options)
    from tinker_hl import ServiceClient
    from tinker_hl.cli.notices import show_notices

    show_notices()

    folder = RunFolder(options.runs_dir, options.name)
    saved: list[str] = []
    try:
        with ServiceClient(base_url=options.base_url, user_metadata={"run": options.name}, progress=False) as service:
            _Job(options, screen, service, folder, saved).run(training, held_out)
    except (KeyboardInterrupt, TinkerError) as stopped:
        _tell_saved(screen, "Interrupted" if isinstance(stopped, KeyboardInterrupt) else "Failed", folder, saved)
        raise


def _read(options: JobOptions) -> tuple[list[Pair], list[Pair]]:
    pairs = read_pairs(options.data)
    try:
        return split_pairs(pairs, eval_fraction=options.eval_fraction, seed=options.seed)
    except ValueError as error:
        raise DataFileError(options.data, str(error)) from error


def _tell_saved(screen: Screen, end: str, folder: RunFolder, saved: Sequence[str]) -> None:
    if folder.remove_if_empty():
        screen.say(f"{end} before anything was done.")
        return
    screen.say(f"{end}; the session is finished. The run's folder: {folder.path}")
    for path in saved:
        screen.say(f"  saved: {path}")
    if not saved:
        screen.say("  no checkpoint was saved yet (--save-every saves them along the way)")


@attrs.define
class _Job:
    """One run under way."""

    options: JobOptions
    screen: Screen
    service: "ServiceClient"
    folder: RunFolder
    saved: list[str]
    losses: list[float] = attrs.field(factory=list)
    measured: list[Measured] = attrs.field(factory=list)

    def run(self, training: Sequence[Pair], held_out: Sequence[Pair]) -> None:
        options, say = self.options, self.screen.say
        say(f"{len(training)} pairs to train on, {len(held_out)} held out; {options.model} at {options.base_url}")
        trainer = self.service.create_lora_training_client(
            base_model=options.model, rank=options.rank, seed=options.seed
        ).result()
        tokenizer: TextTokenizer = trainer.get_tokenizer()
        examples = self._encode(training, tokenizer)
        questions = self._encode(held_out, tokenizer)
        self.folder.describe(gather_manifest(options, seeds={"run": options.seed}, data=[options.data]))
        base = self.service.create_sampling_client(base_model=options.model).result()
        before = self._measure(0, base, tokenizer, questions)
        plan = options.plan(len(examples))
        started = time.monotonic()
        with self.screen.training(plan.steps) as progress:
            self._train(trainer, tokenizer, examples, questions, plan, progress)
        train_seconds = time.monotonic() - started
        final = trainer.save_weights_for_sampler("final").result().path
        self._note(plan.steps, final)
        learned = self.service.create_sampling_client(model_path=final).result()
        after = self._measure(plan.steps, learned, tokenizer, questions)
        # Files are often sorted: a few from all over say more than the first few.
        apart = max(1, len(before) // SHOWN_PAIRS)
        self.screen.before_and_after(before[::apart][:SHOWN_PAIRS], after[::apart][:SHOWN_PAIRS])
        self._draw(plan, train_seconds)
        self._fetch_adapter(final, learned, trainer, questions or examples)
        self._print_result(before, after, plan, train_seconds, progress.tokens_per_second)

    def _encode(self, pairs: Sequence[Pair], tokenizer: TextTokenizer) -> list[Example]:
        """Tokens of each pair; one that the model cannot read is told with its line, before any training."""
        limit = self._context_length()
        examples: list[Example] = []
        for pair in pairs:
            example = encode_pair(pair, tokenizer)
            if limit is not None and example.length > limit:
                raise DataFileError(
                    self.options.data,
                    f"{example.length} tokens, and {self.options.model} reads at most {limit}",
                    line=pair.line,
                    hint="shorten it, or leave it out",
                )
            examples.append(example)
        return examples

    def _context_length(self) -> int | None:
        """None where the service does not tell."""
        models = self.service.get_server_capabilities().supported_models
        return next((model.max_context_length for model in models if model.model_name == self.options.model), None)

    def _measure(
        self, step: int, client: "SamplingClient", tokenizer: TextTokenizer, questions: Sequence[Example]
    ) -> list[Answer]:
        if not questions:
            return []
        answers = ask(client, tokenizer, questions)
        share = exact_match(answers)
        self.measured.append(Measured(step, share))
        self.folder.metrics({"step": step, "exact_match": share, "held_out": len(answers)})
        self.screen.say(f"step {step}: exact match {share:.1%} on {len(answers)} held-out prompts")
        return answers

    def _train(
        self,
        trainer: "TrainingClient",
        tokenizer: TextTokenizer,
        examples: Sequence[Example],
        questions: Sequence[Example],
        plan: Plan,
        progress: TrainingProgress,
    ) -> None:
        fifth = max(1, plan.steps // 5)
        eval_every = self.options.eval_every or fifth
        save_every = fifth if self.options.save_every is None else self.options.save_every
        done = 0
        for stop in _stops(plan.steps, eval_every, save_every):
            self._stretch(trainer, examples, plan, progress, first=done, last=stop)
            done = stop
            if done == plan.steps:
                return
            if save_every and done % save_every == 0:
                self._note(done, trainer.save_state(f"step-{done:06d}").result().path)
            if questions and done % eval_every == 0:
                snapshot = trainer.save_weights_and_get_sampling_client().result()
                self._measure(done, snapshot, tokenizer, questions)

    def _stretch(
        self,
        trainer: "TrainingClient",
        examples: Sequence[Example],
        plan: Plan,
        progress: TrainingProgress,
        *,
        first: int,
        last: int,
    ) -> None:
        clock = time.monotonic()
        for step in fine_tune(trainer, examples, plan, first=first, last=last):
            now = time.monotonic()
            progress.advance(step, seconds=now - clock)
            clock = now
            self.losses.append(step.loss)
            self.folder.metrics(
                attrs.asdict(step) | {"seconds": progress.busy_seconds, "tokens_per_second": progress.tokens_per_second}
            )

    def _note(self, step: int, path: str) -> None:
        self.saved.append(path)
        self.folder.checkpoint(step=step, path=path)
        self.screen.say(f"step {step}: saved {path}")

    def _draw(self, plan: Plan, train_seconds: float) -> None:
        draw_curve(
            self.folder.path / "curve.png",
            title=f"{self.options.data.stem.replace('_', ' ')} on {self.options.model}",
            subtitle=f"LoRA rank {self.options.rank}, {plan.steps} steps of {plan.batch_size} examples, "
            f"learning rate {plan.learning_rate:g} falling linearly, {train_seconds:.0f} s",
            losses=self.losses,
            measured=self.measured,
        )

    def _fetch_adapter(
        self, path: str, learned: "SamplingClient", trainer: "TrainingClient", examples: Sequence[Example]
    ) -> None:
        adapter = download(self.service, path, self.folder.path / "adapter").folder
        if self.folder.manifest is not None:
            write_manifest(adapter, self.folder.manifest.at(len(self.losses), path))
        self.screen.say(f"adapter: {adapter}")
        base = trainer.get_info().model_data.tokenizer_id
        if not self.options.check_adapter:
            return
        if not base or not Path(base, "config.json").is_file():
            self.screen.say("the base model is not on this machine, so the adapter was not tried in peft")
            return
        sequences = [example.prompt + example.completion for example in examples[:SHOWN_PAIRS]]
        served = [learned.compute_logprobs(ModelInput.from_ints(sequence)) for sequence in sequences]
        check: AdapterCheck = check_adapter(Path(base), adapter, sequences, [future.result() for future in served])
        self.screen.say(
            f"plain peft loads it: {check.tokens} logprobs differ from the service's by at most "
            f"{check.largest_difference:.1e}"
        )

    def _print_result(
        self,
        before: Sequence[Answer],
        after: Sequence[Answer],
        plan: Plan,
        train_seconds: float,
        tokens_per_second: float,
    ) -> None:
        result = {
            "exact_match_before": exact_match(before) if before else None,
            "exact_match_after": exact_match(after) if after else None,
            "steps": plan.steps,
            "train_seconds": round(train_seconds, 1),
            "tokens_per_second": round(tokens_per_second),
            "run_dir": str(self.folder.path),
        }
        self.screen.result(result)


def _stops(steps: int, eval_every: int, save_every: int) -> list[int]:
    """The steps after which something is done, the last one among them."""
    every = [interval for interval in (eval_every, save_every) if interval > 0]
    return sorted({steps, *(stop for interval in every for stop in range(interval, steps, interval))})

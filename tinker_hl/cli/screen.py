"""What a person sees of a job: progress on stderr, results on stdout.

On a terminal the progress is one live line; elsewhere (a log file, CI) it is a line now and then. Results are lines for
people with a JSON object last, or with `--format` JSON alone. Knows nothing of what the job does.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from tinker_hl.cli.forms import Form
from tinker_hl.cli.output import print_json, print_record
from tinker_hl.recipes.exact_match import Answer
from tinker_hl.recipes.supervised import Step

__all__ = ["Screen", "TrainingProgress"]

LINE_EVERY_SECONDS: Final = 10.0
SHOWN: Final = 40
WIDE: Final = 75
"""Columns that the whole line of progress needs."""


@attrs.define
class TrainingProgress:
    """The progress of training; `advance` after each step."""

    console: Console
    bar: Progress
    task: TaskID
    steps: int
    tokens: int = 0
    busy_seconds: float = 0.0
    last_line: float = attrs.field(factory=time.monotonic)

    @property
    def tokens_per_second(self) -> float:
        """Tokens read by the model in a second of training, measurements in between not counted."""
        return self.tokens / self.busy_seconds if self.busy_seconds > 0 else 0.0

    def advance(self, step: Step, *, seconds: float) -> None:
        """Count a step that took `seconds` since the one before it."""
        self.tokens += step.tokens
        self.busy_seconds += seconds
        norm = "-" if math.isnan(step.grad_norm) else f"{step.grad_norm:.3g}"
        rate = f"{self.tokens_per_second:,.0f}"
        self.bar.update(self.task, completed=step.step, loss=f"{step.loss:.4f}", rate=rate, norm=norm)
        if not self.console.is_terminal and (self._line_is_due() or step.step == self.steps):
            left = (self.steps - step.step) * self.busy_seconds / step.step
            self.console.print(
                f"step {step.step}/{self.steps}  loss {step.loss:.4f}  {rate} tokens/s  "
                f"grad norm {norm}  {left:.0f} s left"
            )

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        due = now - self.last_line >= LINE_EVERY_SECONDS
        if due:
            self.last_line = now
        return due


class Screen:
    """Where a job writes.

    Args:
        form: Of the results.
    """

    def __init__(self, form: Form = "table") -> None:
        self.form = form
        self.examples: list[dict[str, Any]] = []
        self.progress_console = Console(stderr=True, highlight=False)
        self.result_console = Console(highlight=False)

    def say(self, text: str) -> None:
        """A line about what is going on."""
        self.progress_console.print(escape(text), soft_wrap=True)

    @contextmanager
    def training(self, steps: int) -> Iterator[TrainingProgress]:
        """Show a bar while training."""
        more = [
            BarColumn(bar_width=None),
            TextColumn("[green]{task.fields[rate]}[/] tokens/s"),
            TextColumn("grad norm [magenta]{task.fields[norm]}"),
        ]
        bar = Progress(
            TextColumn("[bold]training"),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("loss [cyan]{task.fields[loss]}"),
            *(more if self.progress_console.width >= WIDE else []),
            TimeRemainingColumn(compact=True),
            console=self.progress_console,
            expand=True,
            disable=not self.progress_console.is_terminal,
        )
        task = bar.add_task("training", total=steps, loss="-", rate="-", norm="-")
        with bar:
            yield TrainingProgress(self.progress_console, bar, task, steps)

    def before_and_after(self, before: Sequence[Answer], after: Sequence[Answer]) -> None:
        """Show what the model said to the same prompts, before and after."""
        self.examples = [
            {"prompt": old.example.pair.prompt, "before": old.said, "after": new.said, "right": new.right}
            for old, new in zip(before, after, strict=True)
        ]
        if not before or self.form != "table":
            return
        rows = [
            (_short(old.example.pair.prompt), _short(old.said), _short(new.said), new.right)
            for old, new in zip(before, after, strict=True)
        ]
        prompt = max(len(given) for given, _, _, _ in rows)
        old_width = max(len(old_said) for _, old_said, _, _ in rows)
        for given, old_said, new_said, right in rows:
            line = Text(f"{given:<{prompt}}  ")
            line.append(f"before: {old_said:<{old_width}}  ", style="dim")
            line.append("after: ")
            line.append(new_said, style="green" if right else "red")
            line.append("" if right else "  (wrong)", style="red")
            self.result_console.print(line, soft_wrap=True)

    def result(self, result: Mapping[str, Any]) -> None:
        """What came of it, for programs: one line, with the examples where no lines for people show them."""
        if self.form == "json":
            print_json({**result, "examples": self.examples})
        elif self.form == "jsonl":
            print_record({**result, "examples": self.examples}, ())
        else:
            self.result_console.file.write(json.dumps(result) + "\n")
            self.result_console.file.flush()


def _short(text: str) -> str:
    """A text on one line: control characters escaped, the middle left out of a long one."""
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text.strip())
    return line if len(line) <= SHOWN else f"{line[: SHOWN // 2 - 1]}..{line[-(SHOWN // 2 - 1) :]}"

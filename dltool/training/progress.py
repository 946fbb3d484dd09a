"""Progress on stderr: a live bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column

from dltool.errors import messages
from dltool.errors.control_characters import visible

if TYPE_CHECKING:
    from dltool.training.procedures._procedure import Procedure

HIDDEN = ("epoch", "step", "seconds", "learning_rate", "momentum", "beta_1", "weight_decay")
WIDE = 110  # columns of a terminal that has room for a long bar


class TrainingProgress:
    """Shows a training under way.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.live = self.console.is_terminal and not quiet
        self.length = 24 if self.console.width >= WIDE else 8  # of the bar, in columns
        self.bar: Progress | None = None

    def begun(self, procedure: Procedure) -> None:
        self.done_before = procedure.position.total_steps
        self.session_seconds = procedure.position.seconds
        messages.clear()
        if self.live:
            columns: list[ProgressColumn] = [
                TextColumn("{task.description}"),
                BarColumn(bar_width=self.length, table_column=Column(min_width=self.length)),
                TextColumn("{task.fields[figures]}", markup=False),
            ]
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=procedure.steps, figures="compiling")

    def advanced(self, procedure: Procedure) -> None:
        if self.bar is None:
            return
        position = procedure.position
        left = (procedure.epochs - position.epoch) * procedure.steps - position.step
        rate = self._steps_per_second(procedure)
        figures = [f"{_clock(left / rate)} left"] if rate else []
        figures += _formatted(procedure.figures())
        figures.append(f"{procedure.examples_per_second:,.0f} examples/s")
        epoch = f"epoch {position.epoch + 1}/{procedure.epochs}  step {position.step}/{procedure.steps}"
        room = max(self.console.width - len(epoch) - self.length - 2, 1)  # a second line would flicker
        line = ""
        for figure in figures:
            if len(line) + 2 * bool(line) + len(figure) > room:
                break
            line = f"{line}  {figure}" if line else figure
        self.bar.update(self.task, completed=position.step, description=epoch, figures=line)

    def epoch_ended(self, procedure: Procedure, row: dict[str, float]) -> None:
        width = len(str(procedure.epochs))
        line = "  ".join([f"epoch {row['epoch']:{width}}/{procedure.epochs}", *_formatted(row)])
        extras = [f"{row['seconds']:.1f} s"]
        extras += [f"learning_rate {row['learning_rate']:.3g}"] if "learning_rate" in row else []
        extras.append(f"{procedure.examples_per_second:,.0f} examples/s")
        for extra in extras:
            if self.live and len(line) + 2 + len(extra) > self.console.width:
                break
            line = f"{line}  {extra}"
        messages.clear()
        self.console.print(line, markup=False, soft_wrap=True)

    def ended(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def say(self, message: str) -> None:
        """Write a message, above the bar if one is shown."""
        messages.clear()
        for line in message.split("\n"):
            self.console.print(f"{messages.PREFIX}{visible(line)}", markup=False, soft_wrap=True)

    def _steps_per_second(self, procedure: Procedure) -> float:
        seconds = procedure.position.seconds - self.session_seconds
        return (procedure.position.total_steps - self.done_before) / seconds if seconds > 0 else 0.0


def _formatted(figures: dict[str, float]) -> list[str]:
    return [f"{visible(name)} {value:.4g}" for name, value in figures.items() if name not in HIDDEN]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

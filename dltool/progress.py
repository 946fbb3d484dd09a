"""Progress on stderr: a live bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from dltool.procedures.gradient_descent import GradientDescent

HIDDEN = ("epoch", "step", "seconds", "learning_rate")
REFRESH_SECONDS = 0.1


class TrainingProgress:
    """Shows a training under way.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal and not quiet
        self.bar: Progress | None = None

    def begun(self, procedure: GradientDescent) -> None:
        self.began, self.done_before = time.perf_counter(), procedure.position.total_steps
        self.session_seconds = procedure.position.seconds
        if self.live:
            columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(bar_width=24), _Figures()]
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=procedure.steps, figures="compiling")

    def advanced(self, procedure: GradientDescent) -> None:
        if self.bar is None:
            return
        from dltool.procedures.evaluation import figures_of

        position = procedure.position
        left = (procedure.epochs - position.epoch) * procedure.steps - position.step
        rate = self._steps_per_second(procedure)
        figures = [*_formatted(figures_of(procedure.model)), f"{self._examples_per_second(procedure):,.0f} examples/s"]
        figures.append(f"{_clock(left / rate)} left" if rate else "")
        epoch = f"epoch {position.epoch + 1}/{procedure.epochs}  step {position.step}/{procedure.steps}"
        self.bar.update(self.task, completed=position.step, description=epoch, figures="  ".join(figures))

    def epoch_ended(self, procedure: GradientDescent, row: dict[str, float]) -> None:
        width = len(str(procedure.epochs))
        parts = [f"epoch {row['epoch']:{width}}/{procedure.epochs}", *_formatted(row)]
        parts += [f"learning_rate {row['learning_rate']:.3g}", f"{self._epoch_rate(procedure, row):,.0f} examples/s"]
        parts.append(f"{row['seconds']:.1f} s")
        self.say("  ".join(parts))

    def ended(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def say(self, line: str) -> None:
        self.console.print(line, markup=False)

    def _steps_per_second(self, procedure: GradientDescent) -> float:
        seconds = procedure.position.seconds - self.session_seconds
        return (procedure.position.total_steps - self.done_before) / seconds if seconds > 0 else 0.0

    def _examples_per_second(self, procedure: GradientDescent) -> float:
        return self._steps_per_second(procedure) * procedure.train_size / procedure.steps

    @staticmethod
    def _epoch_rate(procedure: GradientDescent, row: dict[str, float]) -> float:
        return procedure.train_size / row["seconds"] if row["seconds"] > 0 else 0.0


class _Figures(ProgressColumn):
    def render(self, task: Any) -> Text:
        return Text(task.fields.get("figures", ""))


def _formatted(figures: dict[str, float]) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in figures.items() if name not in HIDDEN]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

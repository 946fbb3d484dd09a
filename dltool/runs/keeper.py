"""Keeping a training safe: the state on disk, the best epoch, progress, obedience to signals."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import InterruptedRun
from dltool.recipe import run_files
from dltool.runs.directory import RunDirectory
from dltool.runs.interruption import Interruption
from dltool.runs.saved_state import SavedState
from dltool.runs.selection import Selector
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    from dltool.training.procedures._procedure import Procedure
    from dltool.training.training_state import TrainingState

SECONDS_BETWEEN_CHECKPOINTS = 2.0  # epochs shorter than this do not each write one


class Keeper:
    """Watches a training: chooses the best epoch, keeps the state on disk, shows progress, obeys signals.

    Args:
        begin: called once, when a first step has shown that training works; until then nothing is touched.
        rate: the recipe's learning rate, kept with the state so that a resume sees whether it has changed.
    """

    def __init__(
        self,
        run: RunDirectory,
        selector: Selector,
        progress: TrainingProgress,
        interruption: Interruption,
        begin: Callable[[], None] = lambda: None,
        rate: Any = None,
    ) -> None:
        self.run, self.selector, self.progress, self.interruption = run, selector, progress, interruption
        self.begin, self.has_begun, self.rate = begin, False, rate
        self._best_on_disk: str | None = None  # written by this process, or gone on from
        self.saved_at = time.perf_counter()
        self.last: TrainingState | None = None  # the state after the last complete epoch of this session
        self.seconds = 0.0
        self._pending = False

    def begun(self, procedure: Procedure) -> None:
        self._best_on_disk = self.selector.file()
        self.seconds = procedure.position.seconds
        self.progress.begun(procedure)

    def ensure_begun(self) -> None:
        """Take the directory over, unless that is done."""
        if not self.has_begun:
            self.begin()
            self.has_begun = True

    def advanced(self, procedure: Procedure) -> None:
        self.ensure_begun()
        self.seconds = procedure.position.seconds
        self.progress.advanced(procedure)
        if self.interruption.signal is not None:
            position = procedure.position
            self._write(procedure.state())
            self._stop(f"after step {position.total_steps} (epoch {position.epoch + 1}, batch {position.step})")

    def epoch_ended(self, procedure: Procedure, row: dict[str, float]) -> None:
        self.seconds = procedure.position.seconds
        self.selector.consider(row, procedure.model)
        self.progress.epoch_ended(procedure, row)
        self.last, self._pending = procedure.state(), True
        if time.perf_counter() - self.saved_at >= SECONDS_BETWEEN_CHECKPOINTS or self.interruption.signal is not None:
            self.save_pending()
        if self.interruption.signal is not None:
            self._stop(f"after epoch {procedure.position.epoch}")

    def save_pending(self) -> None:
        """Write the last epoch's state if it was not yet."""
        if self._pending and self.last is not None:
            self._write(self.last)

    def _write(self, state: TrainingState) -> None:
        best = self.selector.file()
        if best is not None and self.selector.weights is not None and best != self._best_on_disk:
            self.run.save_state({str(index): array for index, array in enumerate(self.selector.weights)}, {}, best)
        SavedState(state, self.selector.plain(), self.rate).write(self.run)
        self.run.write_history(state.history)
        self._best_on_disk = best
        self._keep_one_best()
        self._pending = False
        self.saved_at = time.perf_counter()

    def _keep_one_best(self) -> None:
        """Remove the best weights that the state does not refer to, those of a lost attempt among them."""
        best = self.selector.file()
        for old in (self.run / "checkpoint").glob("best-*.npz"):
            is_own = run_files.BEST.fullmatch(f"checkpoint/{old.name}") and not old.is_symlink()
            if is_own and (best is None or old.name != Path(best).name):
                old.unlink()

    def _stop(self, where: str) -> None:
        raise InterruptedRun(
            f"interrupted {where}; the state is saved. Go on with: dltool train {self.run} --resume",
            self.interruption.signal or 0,
        )

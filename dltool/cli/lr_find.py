"""dltool lr-schedule --find: a learning-rate range test of a recipe, as tables, a picture and a recipe fragment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dltool.errors import Mistakes, UsageError, suggest
from dltool.lr_schedule.range_tests import RangeTest, peak
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.recipe import build, reading
from dltool.recipe.reading import Recipe
from dltool.runs import directory
from dltool.runs.preparation import Preparation, prepare
from dltool.training import backend
from dltool.training.progress import TrainingProgress

SPACINGS = ("exponential", "linear")
LEAST_STEPS = 20  # fewer leave no curve to read


def run(
    source: str,
    overrides: Sequence[str],
    *,
    start: float = 1e-6,
    stop: float = 10.0,
    steps: int = 100,
    spacing: str = "exponential",
    seeds: int = 1,
    rule: str = "minimum/10",
    smoothing: float = 0.9,
    validation: bool = False,
    plot: Path | None = None,
    patch: Path | None = None,
    overwrite: bool = False,
    form: str = "table",
    device: str = "auto",
    write: Callable[[str], None],
) -> None:
    """Sweep the rate, write what the rules suggest, and the picture and the fragment that were asked for.

    Args:
        start, stop: the lowest and the highest rate.
        seeds: sweeps, each with an initialisation and a data order of its own; of a run, a data order alone.
        rule: a key of `rate_rules.RULES`, whose rate goes into the fragment.
        validation: measure a validation batch after each step; the rules then read its loss.
        patch: where the fragment goes.
    Raises:
        UsageError: an option that cannot work; nothing was trained.
        DltoolError: no rate can be suggested; the tables are written, the files are not.
    """
    mistakes = Mistakes()
    with mistakes:
        _check(start, stop, steps, spacing, seeds, smoothing)
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        read = _files(source) if overwrite and patch is not None and patch.exists() else []
        check_target("--write", patch, overwrite, (".yaml", ".yml"), read)
    mistakes.finish(lambda: build.load_any(source, overrides))
    prepared = prepare(source, overrides, device=device)
    say = TrainingProgress().say
    test = RangeTest(prepared, source, start, stop, steps, spacing, smoothing, validation)
    if patch is not None:  # what cannot be written is known before the first sweep
        _fragment(patch, source, prepared, test, start, "")
    for number in range(seeds):
        test.sweep(number, say)
    write(tables.render(test.report(rule, form), form, "sweep"))
    rate = test.suggested(rule)
    if plot is not None:
        test.draw(plot)
    if patch is not None:
        _write_patch(patch, source, prepared, test, rule, rate)
    for path in (plot, patch):
        if path is not None:
            say(f"wrote {path}")


def _files(source: str) -> list[Path]:
    """The files of the recipe that is read, those that it extends included."""
    own = Path(source) / directory.RECIPE
    return reading.chain(reading.find(own if reading.holds(own.is_file) else source))


def _check(start: float, stop: float, steps: int, spacing: str, seeds: int, smoothing: float) -> None:
    if not 0 < start < stop < float("inf"):
        raise UsageError(f"--from and --to: the rates must rise from a number > 0. Got {start:g} to {stop:g}.")
    if steps < LEAST_STEPS:
        raise UsageError(f"--steps: a sweep takes at least {LEAST_STEPS} steps. Got {steps}.")
    if seeds < 1:
        raise UsageError(f"--seeds: at least 1. Got {seeds}.")
    if not 0 <= smoothing < 1:
        raise UsageError(f"--smoothing: a number in [0, 1). Got {smoothing:g}.")
    if spacing not in SPACINGS:
        near = suggest(spacing, SPACINGS)
        raise UsageError(f"--sweep: no '{spacing}'.{near} There are: {', '.join(SPACINGS)}.")


def _fragment(
    path: Path, source: str, prepared: Preparation, test: RangeTest, rate: float, comment: str
) -> tuple[Recipe, str]:
    """The recipe with a rate, and the text of the fragment that makes it."""
    from dltool.lr_schedule import patch as patching

    optimizer = getattr(prepared.model.optimizer, "inner_optimizer", prepared.model.optimizer)
    changed = patching.with_rate(prepared.recipe, rate, test.peak, type(optimizer).__name__)
    return changed, patching.fragment(source, changed, path, comment)


def _write_patch(path: Path, source: str, prepared: Preparation, test: RangeTest, rule: str, rate: float) -> None:
    """Write the fragment, once the recipe that it makes is built and its rate is the one suggested."""
    seeds = f"{len(test.seeds)} seeds" if len(test.seeds) > 1 else "1 seed"
    comment = f"{prepared.recipe.name} with the learning rate {rate:g} of a range test ({rule}, {seeds})."
    changed, text = _fragment(path, source, prepared, test, rate, comment)
    backend.begin_anew(prepared.seed, changed.setting("dtype_policy"))
    measured = peak(Preparation(changed, prepared.data, prepared.seed))
    if abs(measured - rate) > 1e-3 * rate:
        raise UsageError(
            f"--write {path}: it is not known which arguments of the recipe's schedule are rates (its peak would be "
            f"{measured:.3g} in place of {rate:g}). Set them by hand."
        )
    with output(path) as file:
        file.write(text.encode())

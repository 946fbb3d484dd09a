"""dltool optimizers: optimizers tried on small problems with one difficulty each, as a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.cli.options import Format, FormatOption, OverwriteOption, PlotOption
from dltool.errors import Mistakes, UsageError, messages, suggest_or_list
from dltool.output.files import PICTURES, check_target, output

if TYPE_CHECKING:
    import pandas as pd

    from dltool.recipe.values import Value
    from dltool.training.optimizer_trials import Outcome

SLIDES = ("SGD", "SGD: {momentum: 0.9}", "SGD: {momentum: 0.9, nesterov: true}", "Adagrad", "RMSprop",
          "RMSpropNesterov", "Adadelta", "Adam")  # fmt: skip  # of the lecture


@dataclass(frozen=True)
class Candidate:
    """An optimizer to be tried.

    Args:
        label: as it was written.
        value: its text as read.
        has_rate: whether it names its learning rate.
    """

    label: str
    value: Value
    has_rate: bool


def optimizers(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OPTIMIZER]...",
            help="As in a recipe: Adam, 'SGD: {momentum: 0.9}'. One that names its learning_rate is tried with that "
            "alone. Default: the lecture's eight.",
        ),
    ] = None,
    problem: Annotated[
        list[str] | None, typer.Option("--problem", help="A problem to try; may be repeated. Default: all.")
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Let every problem have its own best learning rate, in place of one for all.")
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=10, max=100_000, help="Updates.")] = 100,
    trials: Annotated[int, typer.Option("--trials", min=1, max=100, help="Of each problem with noise.")] = 5,
    plot: PlotOption = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Try optimizers on small problems with one difficulty each, after Schaul et al., 2014.

    Learning rates from 1e-4 to 100 are tried. A figure is the share of the loss that is left: at most 0.01 counts as
    solved.
    """
    mistakes = Mistakes()
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    candidates = []
    for text in chosen or SLIDES:
        with mistakes:
            candidates.append(_read(text))
    mistakes.finish()
    from dltool.training import backend

    backend.configure(device="cpu")
    from dltool.training.optimizer_problems import PROBLEMS

    for name in problem or ():
        with mistakes:
            if name not in (known := [one.name for one in PROBLEMS]):
                raise UsageError(f"--problem {name}: no such problem.{suggest_or_list(name, known)}")
    mistakes.finish()
    problems = [one for one in PROBLEMS if not problem or one.name in problem]
    outcomes = {}
    for one in candidates:
        messages.status(f"trying {one.label} ...")
        outcomes[one.label] = _try(one, problems, steps, trials, each)
    if plot is not None:
        _draw(plot, outcomes)
    report = _tables(outcomes, {one.name: one.difficulty for one in problems})
    if form == Format.table:
        del report["trials"]
    from dltool.output import tables

    messages.write(tables.render(report, form, "trials"))


def _read(text: str) -> Candidate:
    """Return an optimizer in the words that were written, names and arguments checked.

    Raises:
        RecipeError: it is no optimizer, or has other arguments.
    """
    from dltool.recipe import catalogue, values
    from dltool.recipe.builder import Builder

    value = values.from_text(text, "OPTIMIZER")
    builder = Builder(facts={}, find=catalogue.find_light)
    builder.build("optimizers", value, "")
    builder.finish()
    name = values.object_name(value)
    body = value.data[name] if name is not None and value.is_mapping else None
    is_given = body is not None and body.data is not None and (not body.is_mapping or "learning_rate" in body.data)
    return Candidate(text, value, is_given)


def _try(one: Candidate, problems: Sequence[Any], steps: int, trials: int, each: bool) -> list[Outcome]:
    """Return an optimizer's outcomes at its own learning rate or the best ones."""
    import functools

    import keras

    from dltool.recipe.builder import Builder
    from dltool.training.optimizer_trials import RATES, Trials, best_of
    from dltool.training.scheduled_optimizer import make_optimizer

    def make(kind: Any, **arguments: Any) -> Any:
        return make_optimizer(kind, arguments, steps)

    builder = Builder(facts={}, makers={"optimizers": make})
    optimizer = builder.build("optimizers", one.value, "")
    builder.finish()
    attempt = functools.partial(Trials, keras.optimizers.get(optimizer), problems, steps, trials)
    tried = builder.attempt(attempt, one.value, "")
    builder.finish()
    return best_of([tried.run(rate) for rate in ((None,) if one.has_rate else RATES)], each)


def _tables(outcomes: Mapping[str, Sequence[Outcome]], difficulties: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return `optimizers`, a row each; `problems`, a row each with a column an optimizer; `trials`, a row a pair."""
    import pandas as pd

    summary, pairs = [], []
    for label, row in outcomes.items():
        rates = {one.rate for one in row}
        counts = {word: sum(one.verdict == word for one in row) for word in ("solved", "slow", "stuck", "worse")}
        rate = "its own" if rates == {None} else f"{rates.pop():g}" if len(rates) == 1 else "each its best"
        summary.append({"optimizer": label, "learning_rate": rate, **counts})
        pairs += [{"optimizer": label, "problem": one.problem, "learning_rate": one.rate, "left": _number(one.left),
                   "verdict": one.verdict} for one in row]  # fmt: skip
    matrix = [
        {"problem": name, "difficulty": difficulty}
        | {label: _shown(next(one.left for one in row if one.problem == name)) for label, row in outcomes.items()}
        for name, difficulty in difficulties.items()
    ]
    return {"problems": pd.DataFrame(matrix), "optimizers": pd.DataFrame(summary), "trials": pd.DataFrame(pairs)}


def _number(left: float) -> float | None:
    return left if math.isfinite(left) else None


def _shown(left: float) -> str:
    return "diverged" if not math.isfinite(left) else "0" if left < 1e-9 else f"{left:.2g}"


def _draw(plot: Path, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    import numpy as np

    from dltool.output.optimizer_trials import plot_shares

    problems = [one.problem for one in next(iter(outcomes.values()))]
    left = np.array([[one.left for one in row] for row in outcomes.values()])
    with output(plot) as file:
        plot_shares(list(outcomes), problems, left, file, plot.suffix.lower().lstrip("."))

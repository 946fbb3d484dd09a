"""dltool init-stats: what a model's signals, gradients and weights are before it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.cli.requirement import Requirement
from dltool.errors import Mistakes, RequirementError, UsageError
from dltool.init_stats.tables import MODEL_FIGURES, report
from dltool.init_stats.trial import Trial, trials
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.recipe import build, variations
from dltool.runs import opened
from dltool.runs.preparation import Preparation, prepare
from dltool.training import backend

if TYPE_CHECKING:
    from dltool.output.signal_depth import Profile


def run(
    source: str,
    overrides: Sequence[str],
    *,
    layers: Sequence[str],
    batches: int,
    seeds: int,
    steps: str,
    gaussian: bool,
    compare: str | None,
    compare_activation: str | None,
    batch_norm: str | None,
    depths: str | None,
    widths: str | None,
    plot: Path | None,
    require: Sequence[str],
    overwrite: bool,
    form: str,
    device: str,
    write: Callable[[str], None],
) -> None:
    """Measure the recipe's model, or its variants side by side, write the report and the picture, check requirements.

    Raises:
        RequirementError: a requirement is not met; the report is written all the same.
    """
    mistakes, moments = Mistakes(), [0]
    with mistakes:
        moments = parse_steps(steps)
    for name, text in (("batch_norm", batch_norm), ("depths", depths), ("widths", widths)):
        with mistakes:
            variations.check(**({} if text is None else {name: [text]}))
    requirements = []
    for text in require:
        with mistakes:
            requirements.append(Requirement.parse(text, "gradient_ratio<1e3"))
            requirements[-1].check_figure(MODEL_FIGURES)
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    is_run = opened.is_run(source)
    with mistakes:
        if is_run and seeds > 1:
            raise UsageError("--seeds: a run is measured with its trained weights, which are not drawn again")
    mistakes.finish(lambda: build.load_any(source, overrides))
    asked = {"compare": compare, "activations": compare_activation, "batch_norm": batch_norm}
    asked |= {"depths": depths, "widths": widths}
    found: list[Trial] = []
    for name, prepared in variants(source, overrides, device, {k: [v] for k, v in asked.items() if v is not None}):
        with prepared.data.explained():
            found += trials(
                name,
                prepared,
                steps=moments,
                batches=batches,
                seeds=seeds,
                gaussian=gaussian,
                patterns=layers,
                is_trained=is_run,
            )
    sections = report(found, seeds, form)
    if plot is not None:
        draw(found, plot, f"{source}: signals and gradients through depth")
    write(tables.render(sections, form, "layers"))
    rows = [(one, measurement.model) for one in found for measurement in one.measurements]
    unmet = [line for one, row in rows for each in requirements if (line := each.unmet(row, _name(one, moments)))]
    if unmet:
        raise RequirementError(*dict.fromkeys(unmet))


def variants(
    source: str, overrides: Sequence[str], device: str, asked: Mapping[str, list[str]]
) -> Iterator[tuple[str, Preparation]]:
    """The models to measure, by name, each ready for its first step; one is built when the one before is done.

    Args:
        asked: arguments of `variations.of`.
    Raises:
        UsageError: variants of a run are asked for, which has weights of its own.
    """
    is_run = opened.is_run(source)
    if asked and is_run:
        raise UsageError(f"{source}: is a run; its variants would not have its weights. Give a recipe.")
    first = prepare(source, overrides, device=device)
    if not asked:
        yield (source if is_run else first.recipe.name), first
        return
    checked = variations.of(first.recipe, **asked)
    for _, one in checked:
        build.check(one)
    for name, one in checked:
        backend.begin_anew(first.seed, one.setting("dtype_policy"))
        yield name, Preparation(one, first.data, first.seed)


def parse_steps(text: str) -> list[int]:
    """'0,1,10' as rising numbers.

    Raises:
        UsageError: it is no list of whole numbers of at least 0.
    """
    try:
        moments = sorted({int(part) for part in text.split(",")})
        if moments[0] < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--steps '{text}': write numbers of updates, each at least 0, such as 0,1,10") from None
    return moments


def draw(found: Sequence[Trial], path: Path, title: str) -> None:
    """The distributions through depth into a picture."""
    from dltool.output.signal_depth import plot_depth

    with output(path) as file:
        plot_depth(
            [profile(one, len({each.step for each in found}) > 1) for one in found],
            file,
            title,
            path.suffix.lower().lstrip("."),
        )


def profile(trial: Trial, has_steps: bool) -> Profile:
    """What the picture shows of a trial: histograms of its first seed, variances in the mean over seeds.

    Args:
        has_steps: whether the label says after how many updates.
    """
    from dltool.init_stats.spread import pooled
    from dltool.output.signal_depth import Profile

    first = trial.measurements[0]
    rows = pooled([one.layers for one in trial.measurements], ("layer",))
    values = [first.distributions[row["layer"]] for row in first.layers]
    return Profile(
        label=f"{trial.model}, step {trial.step}" if has_steps else trial.model,
        layers=[row["layer"] for row in rows],
        signals=[one["signal"].values for one in values],
        gradients=[one["gradient"].values for one in values],
        signal_std=_roots(rows, "post_variance"),
        signal_theory=_roots(rows, "post_variance_theory"),
        gradient_std=_roots(rows, "gradient_pre_variance", "gradient_post_variance"),
        gradient_theory=_roots(rows, "gradient_pre_variance_theory", "gradient_post_variance_theory"),
    )


def _roots(rows: Sequence[dict[str, Any]], *names: str) -> list[float | None]:
    values = [next((row[name] for name in names if row[name] is not None), None) for row in rows]
    return [None if value is None else max(value, 0.0) ** 0.5 for value in values]


def _name(trial: Trial, moments: Sequence[int]) -> str:
    return f"{trial.model}, step {trial.step}" if len(moments) > 1 else trial.model

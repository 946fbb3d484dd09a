"""dltool init-stats: signals, gradients and weights of a model before it trains."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli.options import (
    Device,
    DeviceOption,
    Format,
    FormatOption,
    OverridesArgument,
    OverwriteOption,
    RecipeArgument,
)
from dltool.cli.requirement import Requirement
from dltool.errors import Mistakes, RequirementError, UsageError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target

if TYPE_CHECKING:
    from dltool.init_stats.trial import Trial


class Input(StrEnum):
    """The input on which a model is measured."""

    data = "data"
    gaussian = "gaussian"


def init_stats(
    recipe: RecipeArgument,
    overrides: OverridesArgument = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", help="Show the layers that a glob matches: 'conv*', 'encoder/*'; may be repeated."),
    ] = None,
    batches: Annotated[int, typer.Option("--batches", min=1, help="Training batches to measure on.")] = 4,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Number of draws of weights and batches: mean and spread.")
    ] = 1,
    steps: Annotated[
        str, typer.Option("--steps", help="Measure after these numbers of training updates: '0,1,10'.")
    ] = "0",
    input_: Annotated[
        Input,
        typer.Option("--input", help="The recipe's data, or a unit Gaussian in the place of the model's input."),
    ] = Input.data,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Initialisers side by side: glorot_uniform,he_normal,lecun_normal,orthogonal."),
    ] = None,
    compare_activation: Annotated[
        str | None, typer.Option("--compare-activation", help="Activations side by side: relu,tanh,sigmoid.")
    ] = None,
    batch_norm: Annotated[
        str | None, typer.Option("--batch-norm", help="Batch normalisation side by side: with,without.")
    ] = None,
    depths: Annotated[
        str | None, typer.Option("--depths", help="How often a repeated block is repeated: 5,10,30,50.")
    ] = None,
    widths: Annotated[str | None, typer.Option("--widths", help="Units of a repeated block: 64,256.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw the distributions through depth (of six models at most) into a .png or .svg file."
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require", help="A condition on every model, such as 'gradient_ratio<1e3'; unmet: exit status 3."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Measure a model before it trains: signals, gradients and weights of each layer, compared with theory.

    The model sees batches of training with its own loss and optimizer, forward and back, and is left as it is. A run
    is measured with its trained weights. The verdict is healthy, vanishing, exploding, saturated or dying.

    Figures for --require: loss, penalty (regularisation's part of it), chance (the loss of a guess), loss_to_chance,
    first_to_last (gradient dL/dz of the first layer with a kernel by the last's, its norm over positions and time),
    gradient_ratio (how many fold these two differ, either way), time_ratio (how many fold dL/dh of a recurrent layer's
    first and last time step differ, of the worst layer), weight_first_to_last, signal_last_to_first (standard
    deviations of z), update_to_weight, dead_units and saturated (shares, of the worst hidden layer), nan and inf (of
    signals and gradients), identical_units (copies that stay equal).
    """
    from dltool.init_stats.tables import MODEL_FIGURES, report
    from dltool.init_stats.trial import trials
    from dltool.init_stats.variants import variants
    from dltool.recipe import build, variations
    from dltool.runs import opened

    mistakes, moments, overrides = Mistakes(), [0], overrides or []
    with mistakes:
        moments = parse_steps(steps)
    for name, text in (("batch_norm", batch_norm), ("depths", depths), ("widths", widths)):
        with mistakes:
            variations.check(**({} if text is None else {name: [text]}))
    requirements = []
    for text in require or []:
        with mistakes:
            requirements.append(Requirement.parse(text, "gradient_ratio<1e3"))
            requirements[-1].check_figure(MODEL_FIGURES)
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    is_run = opened.is_run(recipe)
    with mistakes:
        if is_run and seeds > 1:
            raise UsageError("--seeds: a run is measured with its trained weights, which are not drawn again")
    mistakes.finish(lambda: build.load_any(recipe, overrides))
    asked = {"compare": compare, "activations": compare_activation, "batch_norm": batch_norm}
    asked |= {"depths": depths, "widths": widths}
    found: list[Trial] = []
    for name, prepared in variants(recipe, overrides, device, {k: [v] for k, v in asked.items() if v is not None}):
        with prepared.data.explained():
            found += trials(
                name,
                prepared,
                steps=moments,
                batches=batches,
                seeds=seeds,
                gaussian=input_ is Input.gaussian,
                patterns=layers or [],
                is_trained=is_run,
            )
    sections = report(found, seeds, form)
    if plot is not None:
        from dltool.init_stats.picture import draw

        draw(found, plot, f"{recipe}: signals and gradients through depth")
    messages.write(tables.render(sections, form, "layers"))
    rows = [(one, measurement.model) for one in found for measurement in one.measurements]
    unmet = [line for one, row in rows for each in requirements if (line := each.unmet(row, _name(one, moments)))]
    if unmet:
        raise RequirementError(*dict.fromkeys(unmet))


def parse_steps(text: str) -> list[int]:
    """Return '0,1,10' as rising numbers.

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


def _name(trial: Trial, moments: Sequence[int]) -> str:
    return f"{trial.model}, step {trial.step}" if len(moments) > 1 else trial.model

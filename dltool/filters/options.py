"""The options of visualize-filters, each stated once, and which of them a mode takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.errors import UsageError

if TYPE_CHECKING:
    from dltool.output.picture_files import Picture

Rows = list[dict[str, Any]]
Shown = tuple[list["Picture"], dict[str, Rows]]  # pictures, and title -> rows


class Scaling(StrEnum):
    """The range that a kernel or feature map is scaled by: its own values or all of its layer's."""

    filter = "filter"
    shared = "shared"


class Sort(StrEnum):
    """The order of kernels on a sheet."""

    by_norm = "norm"
    by_index = "index"


class Bound(StrEnum):
    """The bounds of a maximised image: the data's pixel range, their mean norm, or nothing."""

    range = "range"
    norm = "norm"
    none = "none"


class Objective(StrEnum):
    """The part of a feature map to maximise: its middle unit, or the mean of the channel."""

    unit = "unit"
    channel = "channel"


@dataclass(frozen=True)
class Options:
    """The options that only some modes take, and the seed; None or False where one is not given."""

    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", help="Layers by name or glob, 'conv*'. Default: convolutions, or the last of them."),
    ] = None
    units: Annotated[
        str | None,
        typer.Option("--units", help="Units, such as 3,5,8:12; ranges end at the layer's last unit. Default: 0:64."),
    ] = None
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Images to look at. Default: the first of the test split.")
    ] = None
    examples: Annotated[
        int | None,
        typer.Option("--examples", min=1, help="Training examples to search (all), or test examples to look at (4)."),
    ] = None
    scaling: Annotated[
        Scaling | None, typer.Option("--scaling", help="Scale kernels and maps each by itself (filter) or by layer.")
    ] = None
    sort: Annotated[Sort | None, typer.Option("--sort", help="The order of kernels. Default: norm.")] = None
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also a film of the kernels over the checkpoints that the run kept.")
    ] = False
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Steps of ascent or descent. Default: 256; of a dream's octave 20."),
    ] = None
    rate: Annotated[float | None, typer.Option("--rate", help="Their size. Default: 0.05; of a dream 0.02.")] = None
    total_variation: Annotated[
        float | None,
        typer.Option("--total-variation", min=0, help="Penalty of differences of neighbours. Default: 2."),
    ] = None
    jitter: Annotated[
        int | None, typer.Option("--jitter", min=0, help="Pixels of random shift. Default: 0; of a dream 2.")
    ] = None
    l2: Annotated[
        float | None, typer.Option("--l2", min=0, help="Penalty of squared deviations from the mean. Default: 2.")
    ] = None
    blur: Annotated[
        float | None, typer.Option("--blur", min=0, help="Pixels of Gaussian blur after every fourth step. Default: 0.")
    ] = None
    rotation: Annotated[
        float | None, typer.Option("--rotation", min=0, help="Degrees of random turn at every step. Default: 0.")
    ] = None
    scale: Annotated[
        float | None, typer.Option("--scale", min=0, help="Random enlargement, 0.1 for up to 10 %. Default: 0.")
    ] = None
    fourier: Annotated[bool, typer.Option("--fourier", help="Climb in the image's spectrum, not its pixels.")] = False
    bound: Annotated[
        Bound | None,
        typer.Option("--bound", help="Keep to the data's pixel range (default), to their mean norm, or to none."),
    ] = None
    objective: Annotated[
        Objective | None,
        typer.Option("--objective", help="Maximise the middle unit of a feature map (default) or the channel's mean."),
    ] = None
    diversity: Annotated[
        int | None, typer.Option("--diversity", min=1, help="Images a unit, kept unlike each other. Default: 1.")
    ] = None
    snapshots: Annotated[
        int | None,
        typer.Option("--snapshots", min=2, help="Frames of a film (GIF) of the ascent, at most --steps."),
    ] = None
    octaves: Annotated[int | None, typer.Option("--octaves", min=1, help="Scales of a dream. Default: 3.")] = None
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="gradient, smoothgrad, guided, deconvnet, integrated-gradients, grad-cam, occlusion, "
            "or several with commas. Default: all that the model allows.",
        ),
    ] = None
    target: Annotated[
        str | None, typer.Option("--target", help="The class that attribution asks about. Default: the predicted one.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal bytes.")] = 0

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by name, without the seed."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and value is not False and value != [] and name != "seed"
        }

    def some(self, **names: str) -> dict[str, Any]:
        """Return those that are given as keywords: rate="learning_rate" gives {"learning_rate": the rate}."""
        given = self.given()
        return {word: given[name] for name, word in names.items() if name in given}

    def check_taken(self, mode: str, taken: dict[str, Sequence[str]]) -> None:
        """Raise for an option that the mode would ignore.

        Args:
            taken: mode -> names of options.
        """
        for name, value in self.given().items():
            if name not in taken[mode]:
                others = " or ".join(other for other, names in taken.items() if name in names)
                raise UsageError(f"--{name.replace('_', '-')} goes with --mode {others}, not {mode}")
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be a finite number")
        if self.rate is not None and self.rate <= 0:
            raise UsageError(f"--rate {self.rate:g}: must be above 0")
        if self.images and self.examples:
            raise UsageError("--images and --examples exclude each other")


@contextmanager
def usable() -> Iterator[None]:
    """Turn errors about options that do not fit each other or the model into usage errors."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error

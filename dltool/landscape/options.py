"""The options of landscape that measure nets, each stated once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dltool.errors import UsageError


class Split(StrEnum):
    """The split whose loss is measured."""

    train = "train"
    validation = "validation"
    test = "test"


class Eigenvalues(StrEnum):
    """How much of the spectrum is computed."""

    auto = "auto"
    full = "full"
    ends = "ends"
    density = "density"


class Slice(StrEnum):
    """The dimensions of a slice."""

    line = "1d"
    plane = "2d"


@dataclass(frozen=True)
class NetOptions:
    """Where and how the loss of a net is measured."""

    split: Annotated[Split, typer.Option("--split", help="Whose loss.")] = Split.train
    limit: Annotated[int, typer.Option("--limit", min=0, help="Examples, drawn at random; 0: the whole split.")] = 1000
    spectrum: Annotated[
        Eigenvalues,
        typer.Option(
            "--spectrum",
            help="full: all eigenvalues. ends: the extreme ones (Lanczos). density: these, and the density (stochastic "
            "Lanczos quadrature). auto: full up to 3,000 weights, else density.",
        ),
    ] = Eigenvalues.auto
    ends: Annotated[int, typer.Option("--ends", min=1, help="Eigenvalues at either end.")] = 10
    slice_: Annotated[
        Slice | None, typer.Option("--slice", help="The loss along random directions that are scaled by filter.")
    ] = None
    between: Annotated[
        tuple[Path, Path] | None, typer.Option("--between", help="The loss on the line from one run to another.")
    ] = None
    points: Annotated[
        int | None, typer.Option("--points", min=3, help="Points of a slice along each axis. Default: 51; 2d: 21.")
    ] = None
    critical_points: Annotated[
        int,
        typer.Option("--critical-points", min=0, help="Search this many times, by Newton from the end of a training."),
    ] = 0
    noise: Annotated[
        str, typer.Option("--noise", help="Standard deviations of what is added to the weights before.")
    ] = "0.3"
    vary: Annotated[
        str | None,
        typer.Option(
            "--vary",
            metavar="KEY=V1,V2",
            help="Train the recipe with each value, such as model.2.Dense.units=5,50, and compare the losses' spread.",
        ),
    ] = None
    trainings: Annotated[int, typer.Option("--trainings", min=2, help="Of each value of --vary.")] = 10
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of examples, directions and noise.")] = 0

    def check(self) -> None:
        """Raise if options exclude each other.

        Raises:
            UsageError: two subjects at once, or noise that is no list of numbers.
        """
        subjects = {"--slice": bool(self.slice_), "--between": bool(self.between), "--vary": self.vary is not None}
        subjects["--critical-points"] = bool(self.critical_points)
        asked = [name for name, value in subjects.items() if value]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)}: one at a time. Run the command once for each.")
        self.noise_levels()
        if self.vary is not None:
            self.variants()

    def variants(self) -> tuple[str, list[str]]:
        """Return the key of --vary and its values.

        Raises:
            UsageError: it is no key with two values or more.
        """
        key, _, text = (self.vary or "").partition("=")
        values = [value.strip() for value in text.split(",")]
        if not key or len(values) < 2 or not all(values):
            raise UsageError(f"--vary '{self.vary}': write a key and its values, such as model.2.Dense.units=5,50")
        return key, values

    def noise_levels(self) -> list[float]:
        """Return '0,0.1' of --noise as numbers.

        Raises:
            UsageError: it is no list of finite numbers of at least 0.
        """
        try:
            levels = [float(part) for part in self.noise.split(",")]
            if not all(0 <= level < float("inf") for level in levels):
                raise ValueError
        except ValueError:
            message = f"--noise '{self.noise}': write standard deviations of at least 0, such as 0,0.1,1"
            raise UsageError(message) from None
        return levels

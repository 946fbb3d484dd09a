"""The options of visualize-filters, and which of them a mode takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError

if TYPE_CHECKING:
    from dltool.output.picture import Picture

Rows = list[dict[str, Any]]
Shown = tuple[list["Picture"], dict[str, Rows]]  # pictures, and title -> rows
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """As `dltool visualize-filters --help` tells of them; None where one is not given."""

    layers: Sequence[str] | None = None
    units: str | None = None
    images: Sequence[Path] | None = None
    examples: int | None = None
    scaling: str | None = None
    sort: str | None = None
    checkpoints: bool | None = None
    steps: int | None = None
    rate: float | None = None
    l2: float | None = None
    total_variation: float | None = None
    blur: float | None = None
    jitter: int | None = None
    rotation: float | None = None
    scale: float | None = None
    fourier: bool | None = None
    bound: str | None = None
    objective: str | None = None
    diversity: int | None = None
    snapshots: int | None = None
    octaves: int | None = None
    method: str | None = None
    target: str | None = None
    seed: int = 0

    def given(self) -> dict[str, Any]:
        """Those that are, by name, without the seed."""
        return {name: value for name, value in asdict(self).items() if value is not None and name != "seed"}

    def some(self, **names: str) -> dict[str, Any]:
        """Those that are given as keyword arguments: rate="learning_rate" gives {"learning_rate": the rate}."""
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
    """What leaves say of options that do not go together, or with the model."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error

"""A block of layers repeated, for nets whose depth is a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dltool.library.layers._wiring import Composite, apply, checked, copied, fresh, refuse_learned

LAYER_ARGUMENTS = ("layers",)  # read by recipe/declarations.py


class Repeat(Composite):
    """The same block of layers `times` times in a row, each copy with weights of its own.

    y = block_times(...block_2(block_1(x))): what writing the layers out `times` times gives, with their names.

    Args:
        layers: the block, a list of layers or one layer. A layer with a name of its own gives its copies that name
            with a number (`hidden_1`, `hidden_2`, ...), others Keras's names (`dense_1`, `dense_2`, ...).
        times: copies of the block, int > 0.
    Input shape: the block's.   Output shape: the block's, which must be the input shape of the next copy.
    Raises:
        ValueError: `times` is no positive int, the block is empty, or a layer of it is adapted to data or pre-trained.
    Limits: an initialiser with a seed of its own gives every copy the same weights, as it does to layers
        written out. With layers that keep the sign or the scale of their input badly, depth alone makes the
        signal vanish or explode; see He et al., 2015, arXiv:1502.01852, section 2.2.
    Reference: lecture slides 48-50 (a deep net as a chain of equal layers); He et al., 2016, Deep residual learning
        for image recognition, table 1 (blocks times a number).
    """

    def __init__(self, layers: Sequence[Any] | Any, times: int) -> None:
        block: list[Any] = list(layers) if isinstance(layers, list | tuple) else [layers]
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"'times' must be an int >= 1. Got {times!r}.")
        if not block:
            raise ValueError("'layers' must hold at least one layer. Got an empty list.")
        for layer in checked("Repeat", "layers", block):
            refuse_learned(layer)
            if hasattr(layer, "adapt"):
                raise ValueError(f"{type(layer).__name__} is adapted to the data, which a repeated layer can't be. "
                                 "Put it in front of the repeated layers.")  # fmt: skip
        self.layers, self.times = block, times
        # Copies made now are numbered, and draw their seeds, before the layers behind; blocks that hold wirings are
        # copied when they are called, on which the measured figures of the residual nets' recipes rest.
        wired = any(isinstance(layer, Composite) for layer in block)
        self.copies: list[list[Any]] | None = None if wired else [_numbered(block, i + 1) for i in range(times)]

    def __call__(self, x: Any) -> Any:
        blocks = self.copies
        if blocks is None:
            others = [copied(self.layers) for _ in range(self.times - 1)]  # before the first: built layers share names
            blocks = [self.layers, *others]
        for layers in blocks:
            x = apply(layers, x, "layers")
        return x

    def copy(self) -> Repeat:
        twin = Repeat.__new__(Repeat)
        twin.times = self.times
        twin.copies = None if self.copies is None else [copied(block) for block in self.copies]
        twin.layers = copied(self.layers) if self.copies is None else self.layers
        return twin


def _numbered(block: Sequence[Any], number: int) -> list[Any]:
    """Return a copy of plain layers, with a number in their names."""
    return [fresh(layer, f"{layer.name}_{number}" if _is_own(layer) else None) for layer in block]


def _is_own(layer: Any) -> bool:
    """Return whether the recipe named the layer, not Keras after its class."""
    automatic = re.fullmatch(r"(.+?)(_\d+)?", layer.name)
    return automatic is None or automatic[1].replace("_", "") != type(layer).__name__.lower()

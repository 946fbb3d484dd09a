"""A block of layers repeated, for nets whose depth is a number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from dltool.layers.wiring import Composite, apply, checked, copied, refuse_learned


def Repeat(layers: Sequence[Any] | Any, times: int) -> keras.Sequential | Composite:  # noqa: N802 - a recipe's word, as a layer's
    """The same block of layers `times` times in a row, each copy with weights of its own.

    y = block_times(...block_2(block_1(x))): what writing the layers out `times` times gives, as a nested
    keras.Sequential, so that a saved model needs nothing but Keras to load. A block with `Residual`, `Branches` or
    another such block inside is wired into the graph instead, where its layers stand side by side with the others.

    Args:
        layers: the block, a list of layers or one layer. Copies are named after them in turn
            (`dense_1`, `dense_2`, ...), those of a layer with a name of its own after that.
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
    if any(isinstance(layer, Composite) for layer in block):
        return _Stack(block, times)
    counter: Counter[str] = Counter()
    copies = []
    for _ in range(times):
        for layer in block:
            base = _base_name(layer)
            counter[base] += 1
            copies.append(type(layer).from_config({**layer.get_config(), "name": f"{base}_{counter[base]}"}))
    return keras.Sequential(copies, name=_own_name())


def _base_name(layer: Any) -> str:
    """A layer's name, without the number that Keras adds to the name it makes from the class."""
    match = re.fullmatch(r"(.+)_\d+", layer.name)
    automatic = match is not None and match[1].replace("_", "") in (type(layer).__name__.lower(), "repeat")
    return match[1] if match is not None and automatic else layer.name


def _own_name() -> str:
    """`repeat`, `repeat_1`, ...: numbered as Keras numbers layers without a name."""
    used = keras.backend.get_uid("repeat") - 1
    return f"repeat_{used}" if used else "repeat"


class _Stack(Composite):
    """A repeated block that holds wirings."""

    def __init__(self, block: Sequence[Any], times: int) -> None:
        self.layers, self.times = list(block), times

    def __call__(self, x: Any) -> Any:
        fresh = [copied(self.layers) for _ in range(self.times - 1)]  # before the first call: built layers share names
        for layers in [self.layers, *fresh]:
            x = apply(layers, x, "layers")
        return x

    def copy(self) -> _Stack:
        return _Stack(copied(self.layers), self.times)

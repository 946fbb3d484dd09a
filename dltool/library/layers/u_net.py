"""An encoder of any kind with a path back up to the size of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dltool.graph import keras_internals
from dltool.library.layers._wiring import Composite, apply, checked, copied

LAYER_ARGUMENTS = ("encoder",)  # read by recipe/declarations.py


class UNet(Composite):
    """A U-Net around an encoder: each step up doubles the map, joins what the encoder gave at that size, and filters.

        y = e_n(x),  then for each size from small to large: y = ReLU(BN(conv3x3([up(y), e_k(x)])))

    with e_k(x) the encoder's last output whose rows and columns are those of the input divided by 2^k, found inside
    nested models too, and up the repetition of each position in 2 x 2. Where the encoder gives nothing at a size, the
    map is filtered alone.

    Args:
        encoder: layers that halve the image some times; a net of `library/applications` without its classifier will do.
        filters: of the convolution after each step up, from the smallest map on: as many steps as numbers.
    Input shape: images (batch, rows, columns, channels) whose sides 2^n divides.
    Output shape: (batch, rows / 2^(n - steps), columns / 2^(n - steps), filters[-1]).
    Raises:
        ValueError: no filters, or the encoder does not halve the image as often as there are steps.
    Reference: Ronneberger, Fischer & Brox, 2015, U-Net: convolutional networks for biomedical image segmentation,
        figure 1.
    """

    def __init__(self, encoder: Sequence[Any], filters: Sequence[int]) -> None:
        counts = isinstance(filters, list | tuple) and filters
        if not counts or not all(type(count) is int and count > 0 for count in filters):
            raise ValueError(f"The 'filters' parameter of UNet must be a list of ints > 0. Got {filters!r}.")
        self.encoder = checked("UNet", "encoder", encoder)
        self.filters = list(filters)

    def __call__(self, x: Any) -> Any:
        if len(x.shape) != 4 or None in x.shape[1:]:
            raise ValueError(f"UNet takes images of known size. Got shape {tuple(x.shape)}.")
        found: dict[tuple[int, int], Any] = {}
        y = x
        for number, layer in enumerate(self.encoder):
            try:
                y = _recorded(layer, y, found)
            except Exception as error:
                error.wired = ["encoder", number, *getattr(error, "wired", [])]  # type: ignore[attr-defined]
                raise
        depth = _depth(x.shape, y.shape)
        if depth is None or depth < len(self.filters):
            raise ValueError(
                f"UNet has {len(self.filters)} steps up, and its encoder makes {tuple(y.shape[1:3])} of "
                f"{tuple(x.shape[1:3])}. It has to halve the image as often."
            )
        for step, filters in enumerate(self.filters, start=1):
            y = keras.layers.UpSampling2D(2)(y)
            skip = found.get((x.shape[1] >> (depth - step), x.shape[2] >> (depth - step)))
            y = y if skip is None else keras.layers.Concatenate()([y, skip])
            block = [keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)]
            y = apply([*block, keras.layers.BatchNormalization(), keras.layers.ReLU()], y, "filters")
        return y

    def copy(self) -> UNet:
        return UNet(copied(self.encoder), self.filters)


def _recorded(layer: Any, x: Any, found: dict[tuple[int, int], Any]) -> Any:
    """Return a layer's output; note the last map of each size in it, also of those inside a nested model."""
    graph = None if isinstance(layer, Composite) else keras_internals.graph_of(layer)
    if graph is None or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        y = layer(x)
        _note(y, found)
        return y
    inside: dict[tuple[int, int], Any] = {}
    for node in keras_internals.nodes(graph):
        for tensor in node.outputs:
            _note(tensor, inside)
    whole = keras.Model(graph.inputs[0], [*inside.values(), graph.outputs[0]], name=layer.name)
    *maps, y = whole(x)
    for tensor in maps:
        _note(tensor, found)
    return y


def _note(tensor: Any, found: dict[tuple[int, int], Any]) -> None:
    """Keep a map as the last one of its size."""
    if len(tensor.shape) == 4 and None not in tensor.shape[1:3]:
        found[tensor.shape[1], tensor.shape[2]] = tensor


def _depth(whole: Any, small: Any) -> int | None:
    """Return how often an image was halved, None where sides do not agree."""
    if len(small) != 4 or not small[1] or whole[1] % small[1]:
        return None
    times = whole[1] // small[1]
    good = times & (times - 1) == 0 and whole[2] == small[2] * times
    return times.bit_length() - 1 if good else None

"""--mode activations: feature maps of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dltool.filters import choice
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    from dltool.filters.source import Source

TAKES = ("layers", "units", "images", "examples", "scaling")


def show(source: Source, options: Options) -> Shown:
    """Draw one sheet per image and layer; return one row per map."""
    import numpy as np
    import tensorflow as tf

    from dltool.filters.activation_maps import Activations, activation_picture

    names, images = choice.images(source, options)
    chosen = choice.layers(source, options, choice.convolutions(source))
    with usable():
        layers = Activations(source.model, [call.path for call in chosen], nonlinear=True)
    values = [np.asarray(one) for one in tf.function(layers, autograph=False)(tf.constant(images))]
    pictures = []
    rows: Rows = []
    for name, image, *maps in zip(names, images, *values, strict=True):
        for call, one in zip(chosen, maps, strict=True):
            units = choice.units(options, call.path, one.shape[-1])
            scaling = options.scaling or "filter"
            picture, more = activation_picture(name, image, call.path, one, units, source.pixels, scaling)
            pictures.append(picture)
            rows += more
    return pictures, {"units": rows}

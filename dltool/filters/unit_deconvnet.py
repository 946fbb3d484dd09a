"""The parts of an image that made a unit active: its gradient, through ReLUs that pass only positive values back."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from dltool.filters.activation_maps import Activations
from dltool.filters.methods.deconvnet import deconvolved
from dltool.filters.pixel_gradients import stand_in_relus


def deconvnet(
    model: Any, path: str, images: np.ndarray, units: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return the units' responses, mapped back to the image's shape, and whether a ReLU was on the way.

    Where the forward pass has max(0, x), the way back has max(0, gradient), whatever x was. Max pooling sends back to
    where the maximum was. In a net without ReLUs this is the gradient.

    Args:
        images: (n, ...), one a unit.
        units: int (n,).
        positions: in the layer's map, int (n, spatial axes).
    Reference: Zeiler & Fergus, 2014, Visualizing and understanding convolutional networks, section 2.1;
        Springenberg et al., 2015, arXiv:1412.6806, section 3.4 (as a rule for the gradient).
    """
    layer = Activations(model, [path])
    try:
        relus = stand_in_relus(layer.graph, deconvolved)
    except ValueError:
        relus = {}
    index = np.concatenate([np.arange(len(units))[:, None], positions, np.asarray(units)[:, None]], axis=1)

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(tf.gather_nd(layer(x, relus)[0], index))
        return tape.gradient(total, x)

    x = tf.constant(images, tf.float32)
    return gradient.get_concrete_function(x)(x).numpy(), bool(relus)

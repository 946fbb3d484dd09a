"""The deconvolutional net: the way back through a ReLU is a ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltool.filters.class_logits import ClassLogits
from dltool.filters.pixel_gradients import (
    Function,
    magnitude,
    pixel_gradient,
    rectified_backward,
    stand_in_relus,
    straight_through,
)


def deconvnet(classifier: ClassLogits) -> Callable[[Any, Any], Any]:
    """Map: the gradient's, where at each ReLU the way back is R_x = max(0, R_y), whatever x was.

    Transposed convolutions and the switches of max-pooling are what the gradient does there anyway.

    Args:
        classifier: the model as images -> logits; ReLUs as layers, activations or operations count.
    Raises:
        ValueError: the model has no ReLU.
    Limits: without max-pooling nothing of the image steers the way back, and every image gives the same map; like
        guided backpropagation it hardly knows the class: the upper weights hardly change its maps (Sixt, Granz &
        Landgraf, 2020, When explanations lie).
    Reference: Zeiler & Fergus, 2014, Visualizing and understanding convolutional networks, section 2.1.
    """
    relus = stand_in_relus(classifier.graph, deconvolved)
    return lambda images, targets: magnitude(pixel_gradient(classifier, images, targets, relus))


def deconvolved(relu: Function) -> Function:
    """Return a ReLU whose backward pass is a ReLU too."""
    through = straight_through(relu)
    return lambda x, **_: rectified_backward(through(x))

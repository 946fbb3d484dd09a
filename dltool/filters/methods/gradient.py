"""The gradient of a class logit with respect to the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltool.filters.class_logits import ClassLogits
from dltool.filters.pixel_gradients import magnitude, pixel_gradient


def gradient(classifier: ClassLogits) -> Callable[[Any, Any], Any]:
    """Map: M = max over channels of |d z_c / d x|, not negative, in logits a unit of pixel value.

    Args:
        classifier: the model as images -> logits z.
    Limits: says where a small change would matter, not what made the logit what it is; a pixel whose effect has
        saturated gets nothing.
    Reference: Simonyan, Vedaldi & Zisserman, 2014, Deep inside convolutional networks, section 3.1.
    """
    return lambda images, targets: magnitude(pixel_gradient(classifier, images, targets))

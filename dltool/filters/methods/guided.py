"""Guided backpropagation: the gradient with only what is positive passing each ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltool.filters.class_logits import ClassLogits
from dltool.filters.pixel_gradients import Function, magnitude, pixel_gradient, rectified_backward, stand_in_relus


def guided(classifier: ClassLogits) -> Callable[[Any, Any], Any]:
    """Map: the gradient's, where at each ReLU y = max(0, x) the way back is R_x = [x > 0] max(0, R_y).

    Args:
        classifier: the model as images -> logits; ReLUs as layers, activations or operations count.
    Raises:
        ValueError: the model has no ReLU.
    Limits: shows the edges of the image more than the class: maps hardly change when the upper weights are randomised
        (Adebayo et al., 2018; Nie, Zhang & Patel, 2018).
    Reference: Springenberg, Dosovitskiy, Brox & Riedmiller, 2014, Striving for simplicity, section 3.4 and figure 1.
    """
    relus = stand_in_relus(classifier.graph, _guided)
    return lambda images, targets: magnitude(pixel_gradient(classifier, images, targets, relus))


def _guided(relu: Function) -> Function:
    return lambda x, **_: rectified_backward(relu(x))

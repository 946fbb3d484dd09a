"""Attribution: how much each pixel of an image counts for the logit of a class. A method a file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def methods() -> list[str]:
    """Return the names of the methods: gradient, grad-cam, ..."""
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py"))


def attribute(
    model: Any, images: Any, targets: Any, method: str, *, batch_size: int = 32, **options: Any
) -> np.ndarray:
    """Return maps (n, rows, columns) of how much each pixel counts for a class logit.

    Args:
        model: a built Sequential or functional image model; it is not changed. Logits are taken before a softmax or
            sigmoid at its end.
        images: (n, rows, columns, channels) or (n, rows, columns), as the model takes them.
        targets: int (n,), the class in question for each image, or one for all.
        method: one of `methods()`; the method defines the sign of a map, and how channels become one number.
        batch_size: images at a time; it changes no result beyond rounding.
        options: the method's own.
    Raises:
        ValueError: an unknown method or option, images or classes that the model does not take, or a model
            for which the method is not defined.
    """
    return explainer(model, method, **options)(images, targets, batch_size=batch_size)


def explainer(model: Any, method: str, **options: Any) -> Callable[..., np.ndarray]:
    """Return `attribute` for one model and method, compiled once: (images, targets, batch_size=32) -> maps.

    It reads the model's weights when called, so it follows them when they change.
    """
    import tensorflow as tf

    from dltool.filters.class_logits import ClassLogits

    build = _builder(method)
    known = [name for name, one in inspect.signature(build).parameters.items() if one.kind is one.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ValueError(f"no option '{name}' of {method}. It has {', '.join(known) or 'none'}.")
    classifier = ClassLogits(model)
    signature = tf.TensorSpec((None, *classifier.image_shape)), tf.TensorSpec((None,), tf.int32)
    compiled = tf.function(build(classifier, **options), autograph=False).get_concrete_function(*signature)

    def explain(images: Any, targets: Any, batch_size: int = 32) -> np.ndarray:
        x, classes = classifier.checked(images, targets)
        batches = range(0, len(x), batch_size)
        pairs = [(tf.constant(x[i : i + batch_size]), tf.constant(classes[i : i + batch_size])) for i in batches]
        maps = [compiled(*pair).numpy() for pair in pairs]
        return np.concatenate(maps) if maps else np.zeros((0, *classifier.image_shape[:2]), np.float32)

    return explain


def applicable(model: Any) -> dict[str, str]:
    """Return, for each method, an empty text or why it is undefined for a model."""
    from dltool.filters.class_logits import ClassLogits

    classifier = ClassLogits(model)
    reasons = dict.fromkeys(methods(), "")
    for method in reasons:
        try:
            _builder(method)(classifier)
        except ValueError as error:
            reasons[method] = str(error)
    return reasons


def _builder(method: str) -> Callable[..., Any]:
    if method not in methods():
        raise ValueError(f"no attribution method '{method}'. There are {', '.join(methods())}.")
    name = method.replace("-", "_")
    return getattr(importlib.import_module(f"{__name__}.{name}"), name)

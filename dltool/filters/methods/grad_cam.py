"""Grad-CAM: a convolution's maps, weighed by how much each raises the class logit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dltool.filters.class_logits import ClassLogits


def grad_cam(classifier: ClassLogits, *, layer: str | None = None) -> Callable[[Any, Any], Any]:
    """Map: ReLU(sum_k w_k A_k), w_k = mean over positions of d z_c / d A_k, resized to the image (bilinear).

    Args:
        classifier: the model as images -> logits z.
        layer: whose output A is, by its path; by default the last maps of the last convolution's size, so after the
            normalisation, addition and activation that follow it, before the next pooling.
    Raises:
        ValueError: an unknown layer, an output without maps (rows, columns, channels), logits that do not depend on it,
            or a model without convolutions.
    Limits: as coarse as A; zero where no map speaks for the class. Resizing takes A to cover the image evenly, which
        unpadded convolutions make true only approximately. Units that only touch an object count too: for a patch of 8
        x 8 pixels that decides alone, 67 % of the mass lay inside for maps whose units see 8 pixels (by default, of the
        last convolution), 84 % for units that see 4 and 96 % for units that see 3.
    Reference: Selvaraju et al., 2017, Grad-CAM, eq. 1 and 2.
    """
    graph = classifier.graph
    number = _last_maps(classifier) if layer is None else graph.number(layer)
    step = graph.steps[number]
    if len(step.shape) != 4:
        raise ValueError(f"layer '{step.path}' gives {step.shape[1:]}: no maps (rows, columns, channels)")
    if number not in graph.needed([graph.output]):
        raise ValueError(f"layer '{step.path}' does not lead to the logits")

    def maps(images: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits, features = classifier.and_features(images, [step.gives[0]])
            z = classifier.of_targets(logits, targets)
        weights = tf.reduce_mean(tape.gradient(z, features), axis=(1, 2), keepdims=True)  # (n, 1, 1, k)
        map_ = tf.nn.relu(tf.reduce_sum(tf.cast(weights * features, tf.float32), axis=-1, keepdims=True))
        return tf.image.resize(map_, classifier.image_shape[:2])[..., 0]

    return maps


def _last_maps(classifier: ClassLogits) -> int:
    graph = classifier.graph
    leading = sorted(graph.needed([graph.output]))
    maps = [number for number in leading if len(graph.steps[number].shape) == 4]
    convolutions = [number for number in maps if "Conv" in type(graph.steps[number].layer).__name__]
    if not convolutions:
        raise ValueError("the model has no convolution. Use another method, or name a layer.")
    size = graph.steps[convolutions[-1]].shape[1:3]
    return [number for number in maps if graph.steps[number].shape[1:3] == size][-1]

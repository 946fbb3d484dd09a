"""Augmented batches, and the loss where augmentation has mixed the targets too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from dltool.library.layers._mixing import ExampleMixing

# Of each example: shares that add up to 1, float32 (batch,), each with the examples it is of, int32 (batch,).
Mixture = Sequence[tuple[Any, Any]]


REMAKE = "remake"  # method of a layer: images, targets -> images


def augmented(augment: Any | None, x: Any, y: Any = None) -> tuple[Any, Mixture | None]:
    """Return a training batch's inputs, augmented, and the mixture of examples, or None if unmixed.

    Args:
        augment: a model of the inputs. In a `keras.Sequential`, layers that mix examples describe the mixture, and
            layers with a method `remake` see the targets.
        y: targets as the data have them.
    Raises:
        ValueError: a layer that sees targets follows one that mixes them.
    """
    if augment is None:
        return x, None
    x = tf.cast(x, tf.float32)
    remakes = any(hasattr(layer, REMAKE) for layer in getattr(augment, "layers", ()))
    if not mixes(augment) and not remakes:
        return augment(x, training=True), None
    size = tf.shape(x)[0]
    mixture = [(tf.ones([size]), tf.range(size))]
    for layer in augment.layers:
        if isinstance(layer, ExampleMixing):
            x, partners, own = layer.mix(x)
            theirs = [(1 - own) * tf.gather(share, partners) for share, _ in mixture]
            others = [tf.gather(index, partners) for _, index in mixture]
            mixture = [(own * share, index) for share, index in mixture]
            mixture += list(zip(theirs, others, strict=True))
        elif hasattr(layer, REMAKE):
            if len(mixture) > 1:
                raise ValueError(f"{type(layer).__name__} needs whole targets: put it before layers that mix examples")
            x = layer.remake(x, y)
        else:
            x = layer(x, training=True)
    return x, mixture if mixes(augment) else None


def augmented_pair(augment: Any | None, x: Any, y: Any) -> tuple[Any, Any, Mixture | None]:
    """Augment a batch as `augmented`, with its targets.

    They move with the inputs if the augmentation has a method `move`.
    """
    if augment is None or not hasattr(augment, "move"):
        x, mixture = augmented(augment, x, y)
        return x, y, mixture
    return (*augment.move(tf.cast(x, tf.float32), y), None)


def mixes(augment: Any | None) -> bool:
    """Return whether an augmentation mixes examples."""
    return any(isinstance(layer, ExampleMixing) for layer in getattr(augment, "layers", ()))


@contextmanager
def sharing(model: Any, mixture: Mixture | None, y: Any, sample_weight: Any) -> Iterator[tuple[Any, Any]]:
    """While the block runs, the model's loss in training is that of mixed targets:

        loss = sum over k of share_k * L(y_k), averaged over the batch

    for whatever loss L the model computes, its penalties counted once.

    Args:
        y: targets of the batch as the data have them.
        sample_weight: of the examples in the loss, (batch,), or None.
    Yields:
        Targets and weights for the metrics: of the example that has the largest share.
    """
    if mixture is None:
        yield y, sample_weight
        return
    shares, indices = (tf.stack(parts) for parts in zip(*mixture, strict=True))  # (k, batch)
    count = len(mixture)
    targets = tf.gather(y, tf.reshape(indices, [-1]))  # (k * batch, ...)
    weights = count * tf.reshape(shares, [-1])  # the loss is averaged over k times the batch
    if sample_weight is not None:
        weights *= tf.gather(tf.cast(sample_weight, tf.float32), tf.reshape(indices, [-1]))
    before = vars(model).get("compute_loss")
    compute_loss = model.compute_loss

    def of_mixed(x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> Any:
        if not training:
            return compute_loss(x, y, y_pred, sample_weight, training=training)
        x, y_pred = tf.nest.map_structure(lambda part: tf.concat([part] * count, 0), (x, y_pred))
        return compute_loss(x, targets, y_pred, weights, training=training)

    main = tf.gather(tf.transpose(indices), tf.argmax(shares, axis=0), batch_dims=1)  # (batch,)
    model.compute_loss = of_mixed
    try:
        yield tf.gather(y, main), None if sample_weight is None else tf.gather(sample_weight, main)
    finally:
        vars(model).pop("compute_loss")
        if before is not None:
            model.compute_loss = before


def check_loss(loss: Any) -> None:
    """Raise if targets can't be mixed in a compiled loss.

    Raises:
        ValueError: it is a sum over the batch, where each share would count as a whole example.
    """
    if any(getattr(one, "reduction", None) in ("sum", "none") for one in tf.nest.flatten(loss)):
        raise ValueError("examples are mixed, which needs a loss that is averaged over the batch: leave out reduction")

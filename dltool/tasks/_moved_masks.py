"""Augmentation that moves masks with their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

# What these layers of Keras do to masks is not what they do to images. Layers that mix examples have a method `mix`.
UNSUITED = ("AugMix", "RandAugment", "RandomCrop", "RandomElasticTransform")
SUITED = "RandomFlip, RandomTranslation, RandomRotation, RandomZoom and RandomShear move them"


class MovedMasks(keras.Sequential):
    """Layers that augment images; those of Keras that move pixels move the masks alike, to the nearest pixel.

    Pixels from beyond the border are void where a layer fills them with a constant.

    Args:
        layers: called in turn.
        shape: of an image.
        void: the index of pixels that do not count, or None.
    Raises:
        ValueError: a layer moves or mixes pixels in a way that masks can't follow; its attribute `index` says which.
    """

    def __init__(self, layers: Sequence[Any], shape: tuple[int, ...], void: int | None) -> None:
        for index, layer in enumerate(layers):
            if (problem := _problem(layer, void)) is not None:
                error = ValueError(problem)
                error.index = index  # type: ignore[attr-defined]
                raise error
        super().__init__([keras.Input(shape), *layers], name="augment")
        self.void = void

    def move(self, images: Any, masks: Any) -> tuple[Any, Any]:
        """Return a training batch's images (batch, rows, columns, channels), augmented, and its masks, moved alike."""
        images, masks = tf.convert_to_tensor(images), tf.convert_to_tensor(masks)
        moved = tf.cast(masks, tf.float32)[..., tf.newaxis]  # (batch, rows, columns, 1)
        for layer in self.layers:
            if not _moves_masks(layer):  # colours alone change
                images = layer(images, training=True)
                continue
            # the constant that fills images then stands for void in masks
            shift = (getattr(layer, "fill_value", 0.0) - self.void) if self.void is not None else 0.0
            both = layer({"images": images, "segmentation_masks": moved + shift}, training=True)
            images, moved = both["images"], tf.cast(both["segmentation_masks"], tf.float32) - shift
        return images, tf.cast(tf.round(moved[..., 0]), masks.dtype)


def _problem(layer: Any, void: int | None) -> str | None:
    """Return why masks can't follow a layer, None where they can."""
    name = type(layer).__name__
    if name in UNSUITED or hasattr(layer, "mix") or getattr(layer, "moves_pixels", False):
        return f"{name} changes images in a way that masks can't follow. {SUITED}."
    try:
        moves = _moves_masks(layer)
    except NotImplementedError:
        return f"{name} does not say how masks follow images: it has no transform_segmentation_masks. {SUITED}."
    fills = name == "RandomPerspective" or getattr(layer, "fill_mode", None) == "constant"
    if fills and void is None and moves:
        return f"{name} fills pixels from beyond the border, which have no class. Set fill_mode: reflect."
    return None


def _moves_masks(layer: Any) -> bool:
    """Return whether a layer does anything to masks: one that changes colours returns them as they are.

    Raises:
        NotImplementedError: it transforms images alone, in a way that it does not say.
    """
    transform = getattr(layer, "transform_segmentation_masks", None)
    if transform is None:
        return False
    nothing = object()  # masks and a transformation that nothing can be computed with
    try:
        return transform(nothing, nothing) is not nothing
    except NotImplementedError:
        raise
    except Exception:  # whatever arithmetic on it raises
        return True

"""Boxes follow the images of every layer that moves pixels; other layers leave them or are refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.layers.cutout import Cutout
from dltool.recipe import catalogue
from dltool.tasks._moved_boxes import MATRICES, VISIBLE, MovedBoxes

ROWS, COLUMNS, COUNT = 48, 80, 8
NOTHING = [0, 0, 0, 0, -1, 0]
CONSTANT = {"fill_mode": "constant"}
ARGUMENTS: dict[str, Any] = {
    "RandomFlip": {},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2, **CONSTANT},
    "RandomRotation": {"factor": 0.25, **CONSTANT},
    "RandomZoom": {"height_factor": (-0.3, 0.3), "width_factor": (-0.3, 0.3), **CONSTANT},
    "RandomShear": {"x_factor": 0.3, "y_factor": 0.3, **CONSTANT},
    "RandomPerspective": {"factor": 0.8, "scale": 0.5},
}


def one_rectangle() -> tuple[np.ndarray, np.ndarray]:
    """Return images (batch, rows, columns, 1) of a bright rectangle each, and its box with a row of padding."""
    draw = np.random.default_rng(2)
    images, boxes = np.zeros((COUNT, ROWS, COLUMNS, 1), np.float32), np.tile(np.float32(NOTHING), (COUNT, 2, 1))
    for image, box in zip(images, boxes, strict=True):
        x, y, width, height = *draw.integers(8, (40, 20)), *draw.integers(10, (30, 16))
        image[y : y + height, x : x + width] = 1
        box[0] = x, y, x + width, y + height, 1, 0
    return images, boxes


def seen(image: np.ndarray) -> np.ndarray:
    """Return the box around the bright pixels of an image."""
    rows, columns = np.nonzero(image[..., 0] > 0.5)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_the_layers_that_move_pixels_are_all_tested() -> None:
    assert ARGUMENTS.keys() == MATRICES.keys()


@pytest.mark.parametrize("name", MATRICES)
def test_boxes_are_where_their_pixels_are(name: str) -> None:
    keras.utils.set_random_seed(4)
    images, boxes = one_rectangle()
    augment = MovedBoxes([getattr(keras.layers, name)(**ARGUMENTS[name])], images.shape[1:])
    moved, followed = (np.asarray(one) for one in tf.function(augment.move, autograph=False)(images, boxes))
    assert followed.dtype == np.float32 and (np.abs(followed[:, 0] - boxes[:, 0]) > 1).any()
    for image, (box, padding) in zip(moved, followed, strict=True):
        # corners of slanted rectangles lie between pixels
        np.testing.assert_allclose(box[:4], seen(image), atol=0 if name == "RandomFlip" else 1.0)
        np.testing.assert_array_equal(padding, NOTHING)
    np.testing.assert_array_equal(followed[:, 0, 4:], boxes[:, 0, 4:])


def test_chains_move_boxes_one_after_the_other() -> None:
    keras.utils.set_random_seed(5)
    images, boxes = one_rectangle()
    layers = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomBrightness(0.1, value_range=(0, 1)),
              keras.layers.RandomTranslation(0.1, 0.1, **CONSTANT), keras.layers.RandomZoom((0.1, 0.2), **CONSTANT),
              keras.layers.GaussianNoise(0.05), Cutout(3, fill_value=1.0)]  # fmt: skip
    moved, followed = MovedBoxes(layers[:4], images.shape[1:]).move(images, boxes)
    for image, box in zip(np.asarray(moved), np.asarray(followed)[:, 0], strict=True):
        np.testing.assert_allclose(box[:4], seen(image), atol=1.5)
    _, followed = MovedBoxes(layers[4:], images.shape[1:]).move(images, boxes)
    np.testing.assert_array_equal(followed, boxes)


def test_boxes_that_leave_the_image_are_cut_then_ignored_then_left_out() -> None:
    shift = keras.layers.RandomTranslation(0.0, (0.5, 0.5), **CONSTANT)  # by 40 of 80 columns to the right
    boxes = np.array([[[60, 5, 70, 15, 0, 0], [30, 5, 50, 15, 1, 0], [37, 5, 47, 15, 2, 0], [38, 0, 48, 10, 1, 0],
                       [10, 0, 20, 10, 2, 1], NOTHING]], np.float32)  # fmt: skip
    _, moved = MovedBoxes([shift], (ROWS, COLUMNS, 1)).move(np.zeros((1, ROWS, COLUMNS, 1)), boxes)
    # half of the second box remains, 3 of 10 columns of the third, 2 of 10 of the fourth
    assert 0.2 < VISIBLE <= 0.3
    expected = [[70, 5, 80, 15, 1, 0], [77, 5, 80, 15, 2, 0], [78, 0, 80, 10, 1, 1], [50, 0, 60, 10, 2, 1],
                NOTHING, NOTHING]  # fmt: skip
    np.testing.assert_allclose(np.asarray(moved)[0], expected, atol=1e-4)


def test_what_is_lost_at_one_layer_does_not_return_at_the_next() -> None:
    away = [keras.layers.RandomTranslation(0.0, (shift, shift), **CONSTANT) for shift in (0.5, -0.5)]
    boxes = np.array([[[38, 5, 48, 15, 1, 0], [41, 5, 51, 15, 2, 0]]], np.float32)  # 2 and no columns remain
    _, moved = MovedBoxes(away, (ROWS, COLUMNS, 1)).move(np.zeros((1, ROWS, COLUMNS, 1)), boxes)
    np.testing.assert_allclose(np.asarray(moved)[0], [[38, 5, 48, 15, 1, 1], NOTHING], atol=1e-4)


def test_turning_there_and_back_leaves_boxes_as_large_as_they_were() -> None:
    turns = [keras.layers.RandomRotation((turn, turn), **CONSTANT) for turn in (0.125, -0.125)]
    boxes = np.array([[[35, 15, 45, 33, 1, 0]]], np.float32)
    _, moved = MovedBoxes(turns, (ROWS, COLUMNS, 1)).move(np.zeros((1, ROWS, COLUMNS, 1)), boxes)
    np.testing.assert_allclose(moved, boxes, atol=1e-3)


AUGMENTING = [
    name for name in catalogue.known("layers")
    if hasattr(getattr(keras.layers, name, None), "transform_bounding_boxes")
    and name not in catalogue.own("layers") and name not in MATRICES and name != "Equalization"  # no model can hold it
]  # fmt: skip
SIZED = {"height": 20, "width": 20}
OTHERS: dict[str, Any] = {
    **{name: {"factor": 1.0} for name in ("RandomBrightness", "RandomErasing", "RandomGrayscale", "RandomContrast")},
    **dict.fromkeys(("CenterCrop", "RandomCrop", "Resizing"), SIZED),
    "Solarization": {"threshold_factor": 0.5},
    "RandomPosterization": {"factor": 2},
    "RandomSharpness": {"factor": 1.0},
    "RandomHue": {"factor": 0.5, "value_range": (0, 255)},
    "RandomSaturation": {"factor": 0.5, "value_range": (0, 255)},
    "RandomInvert": {"value_range": (0, 255)},
    "RandomColorDegeneration": {"factor": 1.0},
    "RandomColorJitter": {"brightness_factor": 0.5},
    "MaxNumBoundingBoxes": {"max_number": 1, "bounding_box_format": "xyxy"},
}
REFUSED = {"AugMix", "CenterCrop", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix", "MaxNumBoundingBoxes",
           "MixUp", "RandAugment", "RandomCrop", "RandomElasticTransform", "Resizing"}  # fmt: skip


def test_each_other_layer_of_keras_leaves_boxes_or_is_refused() -> None:
    assert len(AUGMENTING) > 20
    images, boxes = one_rectangle()
    images, boxes = 255 * np.repeat(images[:2], 3, axis=-1), boxes[:2]
    refused = set()
    for name in AUGMENTING:
        layer = getattr(keras.layers, name)(**OTHERS.get(name, {}))
        try:
            augment = MovedBoxes([layer], images.shape[1:])
        except ValueError as error:
            assert "boxes can't follow" in str(error) or "its transform_bounding_boxes is missing" in str(error)
            refused.add(name)
            continue
        moved, followed = augment.move(images, boxes)
        assert moved.shape == images.shape
        np.testing.assert_array_equal(followed, boxes, err_msg=name)
    assert refused == REFUSED & {*AUGMENTING}


class Blur(keras.layers.Layer):
    """An own layer that says nothing of boxes."""


class Mirror(keras.layers.Layer):
    """An own layer that moves boxes in Keras's way."""

    bounding_box_format = None

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not isinstance(inputs, dict):
            return inputs[:, :, ::-1]
        boxes = self.transform_bounding_boxes(inputs["bounding_boxes"], None)
        return {"images": inputs["images"][:, :, ::-1], "bounding_boxes": boxes}

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        x0, y0, x1, y1 = tf.unstack(bounding_boxes["boxes"], axis=-1)
        return {**bounding_boxes, "boxes": tf.stack([COLUMNS - x1, y0, COLUMNS - x0, y1], axis=-1)}


def test_own_layers_say_how_boxes_move() -> None:
    images, boxes = one_rectangle()
    mirror = Mirror()
    with pytest.raises(ValueError, match="Mirror moves boxes of the format .* Set bounding_box_format: xyxy"):
        MovedBoxes([mirror], images.shape[1:])
    mirror.bounding_box_format = "xyxy"
    moved, followed = MovedBoxes([mirror], images.shape[1:]).move(images, boxes)
    for image, box in zip(np.asarray(moved), np.asarray(followed)[:, 0], strict=True):
        np.testing.assert_array_equal(box[:4], seen(image))


def test_layers_that_boxes_cannot_follow_are_named_by_their_index() -> None:
    flip = keras.layers.RandomFlip()
    for layer, message in [
        (Blur(), "Blur does not say how boxes follow images: give it transform_bounding_boxes, or moves_pixels"),
        (catalogue.find("layers", "CutMix")(), "CutMix changes images in a way that boxes can't follow"),
        (catalogue.find("layers", "ElasticDistortion")(), "ElasticDistortion changes images in a way"),
        (keras.layers.RandomRotation(0.1), "repeats at the border things that have no boxes.* Set fill_mode: constant"),
        (keras.layers.RandomZoom((-0.1, 0.1)), "Set fill_mode: constant"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            MovedBoxes([flip, layer], (ROWS, COLUMNS, 3))
        assert caught.value.index == 1  # type: ignore[attr-defined]
    MovedBoxes([keras.layers.RandomZoom((-0.3, 0.0))], (ROWS, COLUMNS, 3))  # magnifies alone, which fills nothing

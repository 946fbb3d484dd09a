"""The convolutional recipes at the size of MNIST and CIFAR-10 train on a few batches, by dltool's own procedure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.recipe import build, reading

SHAPES = {"Mnist": (28, 28, 1), "Cifar10": (32, 32, 3)}
SMALL = ("cnn/*-mnist", "cnn/*-small", "cnn/lenet5*", "cnn/resnet20")
SIBLINGS = [name for name in reading.bundled_names() if any(fnmatchcase(name, pattern) for pattern in SMALL)]
PAPERS = ("cnn/network-in-network", "cnn/all-cnn-c")  # at their own size, 32 x 32
STEPS = 5


def images(shape: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright bar whose place is the class: images of uint8, int classes."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 64, (n, *shape), np.uint8), np.arange(n) % 10
    for image, one in zip(x, y, strict=True):
        row, column = 2 + 12 * (one // 5), 2 + 5 * (one % 5)
        image[row : row + 10, column : column + 4] += 160
    return x, y


def ready(name: str, n: int) -> tuple[Any, Any, InMemory, tuple[np.ndarray, np.ndarray]]:
    """The recipe's model compiled for its data, its procedure, and one batch of n images."""
    loaded = reading.load(name)
    shape = SHAPES[str(reading.object_name(loaded.section("data", "dataset")))]
    keras.config.set_dtype_policy(loaded.setting("dtype_policy") or "float32")
    keras.utils.set_random_seed(1)
    facts, (x, y) = {"input_shape": shape, "num_classes": 10}, images(shape, n)
    model = build.model(loaded, facts, lambda: tf.data.Dataset.from_tensors(x))
    build.compile(loaded, model, facts, steps_per_epoch=10)
    procedure = build.procedure(loaded, model, 10)
    model.optimizer.build(model.trainable_variables)
    return model, procedure, InMemory(DeviceArrays(Examples(x, y)), np.arange(n), n), (x, y)


def loss(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """As training sees it: by the statistics of the batch, averaged over 8 draws of what dropout leaves."""
    keras.utils.set_random_seed(2)  # the same draws each time
    return float(np.mean([model.compute_loss(x, y, model(x, training=True), training=False) for _ in range(8)]))


def test_the_siblings_were_found() -> None:
    small = "alexnet-mnist vgg-mnist googlenet-mnist mobilenet-mnist xception-mnist all-cnn-c-small"
    assert set(SIBLINGS) >= {f"cnn/{name}" for name in f"{small} lenet5 lenet5-1998 resnet20".split()}


LONG = {"cnn/resnet20", "cnn/all-cnn-c-small", "cnn/xception-mnist", "cnn/googlenet-mnist", "cnn/mobilenet-mnist"}


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] if one in LONG else []) for one in SIBLINGS]
)
def test_the_loss_of_a_fixed_batch_falls_in_five_steps(name: str) -> None:
    model, procedure, batch, (x, y) = ready(name, 16)
    before = loss(model, x, y)
    history = procedure.fit(model, batch, epochs=STEPS)  # an epoch is the batch; without the recipe's augmentation
    assert [row["step"] for row in history] == list(range(1, STEPS + 1))
    assert loss(model, x, y) < 0.97 * before


@pytest.mark.parametrize("name", PAPERS)
def test_a_net_of_its_paper_s_size_takes_a_step(name: str) -> None:
    model, procedure, batch, _ = ready(name, 4)
    before = [weights.copy() for weights in model.get_weights()]
    (row,) = procedure.fit(model, batch, epochs=1)
    assert np.isfinite(row["loss"])
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))

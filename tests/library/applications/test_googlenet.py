"""GoogLeNet: the sizes of table 1; auxiliary classifiers add to the loss in training and are gone after it."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.library.applications._auxiliary import DeeplySupervised
from dltool.library.applications.googlenet import GoogLeNet
from dltool.recipe import build, reading

# Table 1: channels before, 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection
TABLE_1 = [
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
]


def conv(k: int, before: int, after: int) -> int:
    return k * k * before * after + after


def inception(before: int, one: int, three_r: int, three: int, five_r: int, five: int, pool: int) -> int:
    reduced = conv(1, before, three_r) + conv(3, three_r, three) + conv(1, before, five_r) + conv(5, five_r, five)
    return conv(1, before, one) + reduced + conv(1, before, pool)


def test_parameters_are_those_of_table_1() -> None:
    """With biases; 6,998,552 and 13,378,280 are also the counts of Caffe's bvlc_googlenet."""
    stem = conv(7, 3, 64) + conv(1, 64, 64) + conv(3, 64, 192)
    main = stem + sum(inception(*row) for row in TABLE_1) + 1024 * 1000 + 1000
    heads = [conv(1, before, 128) + (16 * 128 * 1024 + 1024) + (1024 * 1000 + 1000) for before in (512, 528)]
    with keras.StatelessScope(initialize_variables=False):
        alone, helped = GoogLeNet(auxiliary=False), GoogLeNet()
    assert alone.count_params() == main == 6_998_552
    assert helped.count_params() == main + sum(heads) == 13_378_280
    sizes = [layer.output.shape[1:] for layer in alone.layers if isinstance(layer, keras.layers.Concatenate)]
    assert [(shape[0], shape[2]) for shape in sizes] == [
        (28, 256), (28, 480), (14, 512), (14, 512), (14, 512), (14, 528), (14, 832), (7, 832), (7, 1024),
    ]  # fmt: skip


def test_the_recipe_trains_a_step_and_predicts_one_output(tmp_path: Path) -> None:
    facts = {"input_shape": (65, 65, 3), "num_classes": 3}
    loaded = reading.load("cnn/googlenet", ["compile.metrics=[accuracy]", "compile.run_eagerly=true"])
    build.check(loaded)
    model = build.model(loaded, facts, None)
    build.compile(loaded, model, facts, steps_per_epoch=10)
    x, y = np.random.default_rng(0).uniform(0, 255, (4, 65, 65, 3)).astype(np.float32), np.array([0, 1, 2, 0])
    before = [layer.get_weights() for layer in model.layers if layer.name.startswith("auxiliary")]
    assert math.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
    after = [layer.get_weights() for layer in model.layers if layer.name.startswith("auxiliary")]
    assert len(after) == 2
    assert all(np.abs(b[0] - a[0]).max() > 0 for b, a in zip(before, after, strict=True))
    assert model(x, training=False).shape == (4, 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model(x, training=False), rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_main_one_and_0_3_times_each_other() -> None:
    x = keras.Input((2,))
    heads = [keras.layers.Dense(3, name=name) for name in ("main", "first", "second")]
    model = DeeplySupervised(x, [head(x) for head in heads])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"])
    data, y = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32), np.arange(6) % 3
    each = [float(loss(y, head(data))) for head in heads]
    found = model.train_on_batch(data, y, return_dict=True)
    assert found["loss"] == pytest.approx(each[0] + 0.3 * (each[1] + each[2]), rel=1e-5)
    assert found["accuracy"] == pytest.approx((heads[0](data).numpy().argmax(-1) == y).mean())
    model.reset_metrics()
    assert model.test_on_batch(data, y, return_dict=True)["loss"] == pytest.approx(each[0], rel=1e-5)


def test_images_too_small_are_said() -> None:
    with pytest.raises(ValueError, match=r"at least 65 x 65 pixels. Got \(64, 64, 3\)"):
        GoogLeNet((64, 64, 3))

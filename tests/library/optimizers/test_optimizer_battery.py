"""What every optimizer of dltool keeps to, found without being listed."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.recipe import builder, catalogue
from dltool.training.procedures.gradient_descent import GradientDescent
from dltool.training.scheduled_optimizer import make_optimizer, save_with_rate
from tests.command_line import run, write_quick
from tests.interruption import Interrupted, Interrupting

OPTIMIZERS = sorted(catalogue.own("optimizers"))
DECAY, RISE = LinearDecay(0.01, 0.0, 12), LinearDecay(0.5, 0.9, 12)


def compiled(optimizer: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    save_with_rate(model.optimizer)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: keras.Model, epochs: int = 4, **arguments: Any) -> list[dict[str, float]]:
    x = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    examples = Examples(x, (x @ [1.0, -2.0, 0.5] + 0.3).astype(np.float32))
    return GradientDescent().fit(model, InMemory(DeviceArrays(examples), None, 8), epochs=epochs, **arguments)


def test_optimizers_were_found() -> None:
    assert "RMSpropNesterov" in OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_docstring_says_arguments_limits_and_reference(name: str) -> None:
    optimizer = catalogue.find("optimizers", name)
    text = inspect.getdoc(optimizer) or ""
    assert {"Args:", "Raises:", "Limits:", "Reference:"} <= {line.split(" ")[0] for line in text.splitlines()}
    for argument in inspect.signature(optimizer).parameters:
        assert f"    {argument}: " in text or f"    **{argument}: " in text
    assert {"weight_decay", "clipnorm", "name"} <= builder.parameters(optimizer).keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_with_the_same_bits_after_an_interruption(name: str) -> None:
    def model() -> keras.Model:
        scheduled = {"learning_rate": DECAY, "momentum": RISE}
        return compiled(make_optimizer(catalogue.find("optimizers", name), scheduled, 12))

    whole = model()
    history = fit(whole)
    observer = Interrupting(5)
    with pytest.raises(Interrupted):
        fit(model(), observer=observer, steps_per_execution=1)
    resumed = model()
    rows = fit(resumed, state=replace(observer.state))
    assert [row["loss"] for row in rows] == [row["loss"] for row in history]
    assert [row["momentum"] for row in history] == [float(np.float32(RISE(step))) for step in (2, 5, 8, 11)]
    assert all(np.array_equal(*pair) for pair in zip(resumed.get_weights(), whole.get_weights(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains_the_same_with_scaled_losses_accumulated_and_sparse_gradients(name: str) -> None:
    optimizer = catalogue.find("optimizers", name)
    plain, scaled = (compiled(optimizer(0.01)) for _ in range(2))
    fit(plain, epochs=2)
    scaled = compiled(keras.optimizers.LossScaleOptimizer(optimizer(0.01), initial_scale=8.0))
    fit(scaled, epochs=2)
    for own, twin in zip(scaled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(own, twin, rtol=1e-4, atol=1e-6)
    table, dense = keras.Variable(np.ones((4, 2), np.float32)), keras.Variable(np.ones((4, 2), np.float32))
    rows = tf.IndexedSlices(tf.constant([[1.0, -2.0]]), tf.constant([2]), tf.constant([4, 2]))
    optimizer(0.01).apply([rows], [table])
    optimizer(0.01).apply([tf.convert_to_tensor(rows)], [dense])
    np.testing.assert_allclose(table.numpy(), dense.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_recipe_trains_with_it_and_its_model_is_opened_with_its_slots(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = "{LinearDecay: {initial_learning_rate: 1e-3, end_learning_rate: 0, decay_steps: 2 epochs}}"
    optimizer = f"compile.optimizer={{{name}: {{learning_rate: {rate}, clipnorm: 1.0}}}}"
    done = run(capsys, "train", write_quick(tmp_path), optimizer, "--out", tmp_path / "run", "-q")
    assert done.status == 0, done.err
    assert run(capsys, "eval", tmp_path / "run", "--require", "accuracy>=0.6").status == 0
    opened = keras.models.load_model(tmp_path / "run" / "model.keras").optimizer
    assert keras.saving.serialize_keras_object(opened)["registered_name"] == f"dltool>{name}"
    assert opened.clipnorm == 1.0
    slots = [variable for variable in opened.variables if "velocity" in variable.path]
    assert slots and all(np.abs(slot.numpy()).sum() > 0 for slot in slots)

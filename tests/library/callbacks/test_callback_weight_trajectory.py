"""WeightTrajectory: its rows are the weights and losses of training, which does not notice it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.callbacks.weight_trajectory import WeightTrajectory
from dltool.training.procedures.gradient_descent import GradientDescent
from tests.interruption import Interrupted, Interrupting

RATE = 0.05
X = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
Y = (X @ [1.0, -2.0] + 0.3).astype(np.float32)


def compiled(penalty: str | None = None) -> keras.Model:
    start = keras.initializers.Constant(0.5)
    dense = keras.layers.Dense(1, kernel_initializer=start, kernel_regularizer=penalty, name="dense")
    model = keras.Sequential([keras.Input((2,)), dense, keras.layers.Dropout(0.0)])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: keras.Model, *callbacks: Any, **options: Any) -> None:
    train = InMemory(DeviceArrays(Examples(X, Y)), None, 4)  # 3 steps an epoch
    GradientDescent().fit(model, train, callbacks=callbacks, **{"epochs": 2, "shuffle": False, **options})


def rows_of(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_rows_are_the_path_of_gradient_descent_and_the_loss_over_all_examples(tmp_path: Path) -> None:
    """Against NumPy's gradient descent on batches of 4 in stored order, with the penalty 0.01 * |w|^2."""
    fit(compiled("l2"), WeightTrajectory(filename=str(tmp_path / "t.csv")))
    rows = rows_of(tmp_path / "t.csv")
    w, b = np.full(2, 0.5), 0.0
    for step in range(7):
        loss = np.mean((X @ w + b - Y) ** 2) + 0.01 * w @ w
        expected = {"step": step, "loss": loss, "dense/kernel[0,0]": w[0], "dense/kernel[1,0]": w[1], "dense/bias": b}
        assert rows[step] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        x, y = (one[step % 3 * 4 :][:4] for one in (X, Y))
        residual = x @ w + b - y
        w, b = w - RATE * (2 * x.T @ residual / 4 + 0.02 * w), b - RATE * 2 * residual.mean()


def test_named_numbers_are_recorded_every_so_many_steps_and_training_is_the_same_bits(tmp_path: Path) -> None:
    plain, watched = compiled(), compiled()
    recorder = WeightTrajectory(["dense/kernel[1, 0]", "dense/bias"], every=3, filename=str(tmp_path / "t.csv"))
    fit(plain)
    fit(watched, recorder)
    assert all(np.array_equal(*pair) for pair in zip(plain.get_weights(), watched.get_weights(), strict=True))
    rows = rows_of(tmp_path / "t.csv")
    assert [list(row) for row in rows] == [["step", "loss", "dense/kernel[1,0]", "dense/bias"]] * 3
    assert [row["step"] for row in rows] == [0, 3, 6]
    assert rows[-1]["dense/bias"] == pytest.approx(float(watched.get_weights()[1][0]))


def test_a_resumed_training_goes_on_with_the_rows(tmp_path: Path) -> None:
    fit(compiled(), WeightTrajectory(filename=str(tmp_path / "whole.csv")))
    observer = Interrupting(4)
    with pytest.raises(Interrupted):
        fit(compiled(), WeightTrajectory(filename=str(tmp_path / "parted.csv")), observer=observer)
    state = replace(observer.state, callbacks=json.loads(json.dumps(observer.state.callbacks)))
    fit(compiled(), WeightTrajectory(filename=str(tmp_path / "parted.csv")), state=state)
    assert (tmp_path / "parted.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": 3}, "'weights' must be names of weights, such as dense/kernel. Got 3."),
        ({"weights": "dense/kernle"}, "the model has no weight 'dense/kernle'. Did you mean 'dense/kernel'"),
        ({"weights": "dense/kernel[2,0]"}, r"'dense/kernel\[2,0\]' is no number of dense/kernel, which has the shape"),
        ({"every": 0}, "'every' must be an int >= 1, in steps. Got 0."),
        ({"examples": 0}, "'examples' must be an int >= 1. Got 0."),
        ({"filename": "t.txt"}, "'filename' must end in .csv. Got 't.txt'."),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightTrajectory(**arguments).set_model(compiled())


def test_a_large_layer_is_to_be_named_by_numbers() -> None:
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dense(30, name="dense")])
    with pytest.raises(ValueError, match="'weights' hold 1530 numbers, more than 1000. Name some"):
        WeightTrajectory().set_model(model)

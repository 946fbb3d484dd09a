"""Schedules in training: the updates are the formula's, saved models are Keras's own, resumed training is exact."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.schedules._base import Schedule
from dltool.library.schedules.constant import Constant
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.library.schedules.one_cycle import OneCycle
from dltool.library.schedules.step_decay import StepDecay
from dltool.training import schedule_table, scheduled_optimizer
from dltool.training.procedures.gradient_descent import GradientDescent
from dltool.training.schedule_table import ScheduleTable
from dltool.training.scheduled_optimizer import current_values, make_optimizer, save_with_rate
from dltool.training.training_state import capture_arrays
from tests.command_line import BARE_KERAS, run, write_quick

EXAMPLES, BATCH = 24, 8  # 3 steps an epoch
RISE = LinearDecay(0.5, 0.9, 10)
DECAY = LinearDecay(0.1, 0.0, 10)


def data() -> Examples:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, 3)).astype(np.float32)
    return Examples(x, (x @ [1.0, -2.0, 0.5] + 0.3).astype(np.float32))


def compiled(optimizer: Any, **arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **arguments)
    save_with_rate(model.optimizer)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: keras.Model, epochs: int = 3, **arguments: Any) -> list[dict[str, float]]:
    return GradientDescent().fit(model, InMemory(DeviceArrays(data()), None, BATCH), epochs=epochs, **arguments)


def by_hand(optimizer: Any, scheduled: dict[str, Schedule], steps: int, shuffled: InMemory) -> list[np.ndarray]:
    """Train with plain numbers, which are set anew before each eager step: the slow twin of scheduled arguments."""
    model = compiled(optimizer)
    order: np.ndarray = np.array([], np.int64)
    examples = data()
    for step in range(steps):
        if step % 3 == 0:
            order = shuffled.order(0, step // 3)
        batch = order[step % 3 * BATCH :][:BATCH]
        for name, schedule in scheduled.items():
            setattr(optimizer, name, float(np.float32(schedule(step))))
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x=None, y=examples.y[batch], y_pred=model(examples.x[batch], training=True))
        optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]), model.trainable_variables)
    return model.get_weights()


@pytest.mark.parametrize(
    ("optimizer_class", "fixed", "scheduled"),
    [
        (keras.optimizers.SGD, {}, {"learning_rate": DECAY}),
        (keras.optimizers.SGD, {"learning_rate": 0.05}, {"momentum": RISE}),
        (keras.optimizers.SGD, {"learning_rate": 0.05, "nesterov": True}, {"momentum": RISE, "weight_decay": DECAY}),
        (keras.optimizers.Adam, {"learning_rate": 0.05}, {"beta_1": RISE}),
        (keras.optimizers.AdamW, {"learning_rate": 0.05}, {"weight_decay": DECAY, "beta_1": RISE}),
        (keras.optimizers.RMSprop, {"learning_rate": 0.01}, {"momentum": RISE}),
        (keras.optimizers.Nadam, {"learning_rate": 0.01}, {"beta_1": RISE, "learning_rate": DECAY}),
        (keras.optimizers.Adamax, {"learning_rate": 0.01}, {"beta_1": RISE}),
        (keras.optimizers.Lamb, {"learning_rate": 0.01}, {"beta_1": RISE}),
        (keras.optimizers.Lion, {"learning_rate": 0.01}, {"beta_1": RISE, "weight_decay": DECAY}),
        (keras.optimizers.Muon, {"learning_rate": 0.01}, {"momentum": RISE, "weight_decay": DECAY}),
        (
            keras.optimizers.SGD,
            {"gradient_accumulation_steps": 2},
            {"learning_rate": DECAY, "momentum": RISE, "weight_decay": DECAY},
        ),
        (keras.optimizers.Adam, {"gradient_accumulation_steps": 4}, {"learning_rate": DECAY, "beta_1": RISE}),
    ],
)
def test_scheduled_arguments_train_as_numbers_set_before_each_step(
    optimizer_class: Any, fixed: dict[str, Any], scheduled: dict[str, Schedule]
) -> None:
    model = compiled(make_optimizer(optimizer_class, {**fixed, **scheduled}, 9))
    history = fit(model)
    numbers = {name: float(schedule(0)) or 0.5 for name, schedule in scheduled.items()}
    expected = by_hand(
        optimizer_class(**{**fixed, **numbers}), scheduled, 9, InMemory(DeviceArrays(data()), None, BATCH)
    )
    for own, twin in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(own, twin, rtol=2e-4, atol=2e-6)
    for name, schedule in scheduled.items():
        assert [row[name] for row in history] == [float(np.float32(schedule(step))) for step in (2, 5, 8)]


def test_a_changing_momentum_changes_training() -> None:
    """The comparison above can fail."""
    weights = []
    for momentum in (RISE, 0.9):
        model = compiled(make_optimizer(keras.optimizers.SGD, {"learning_rate": 0.05, "momentum": momentum}, 9))
        fit(model)
        weights.append(model.get_weights()[0])
    assert np.abs(weights[0] - weights[1]).max() > 1e-2


@pytest.mark.parametrize("how", ["jit_compile", "run_eagerly", "loss scaling"])
def test_compiled_eager_and_loss_scaled_steps_use_the_same_schedules(how: str) -> None:
    arguments = {"learning_rate": DECAY, "momentum": RISE, "weight_decay": StepDecay(0.01, 4)}
    plain = compiled(make_optimizer(keras.optimizers.SGD, arguments, 9))
    fit(plain)
    optimizer = make_optimizer(keras.optimizers.SGD, arguments, 9)
    if how == "loss scaling":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    model = compiled(optimizer)
    tf.config.run_functions_eagerly(how == "run_eagerly")
    try:
        history = fit(model, jit_compile=how == "jit_compile")
    finally:
        tf.config.run_functions_eagerly(False)
    for own, twin in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(own, twin, rtol=1e-4, atol=1e-6)
    assert history[-1]["momentum"] == float(np.float32(RISE(8)))


def test_a_momentum_of_nothing_at_first_still_has_its_slots() -> None:
    optimizer = make_optimizer(keras.optimizers.SGD, {"momentum": LinearDecay(0.0, 0.9, 5)}, 9)
    model = compiled(optimizer)
    assert len(optimizer.momentums) == 4
    fit(model)
    assert current_values(optimizer)["momentum"] == pytest.approx(0.9)


# -- long training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulated", [None, 4])
def test_the_table_moves_along_with_training_that_is_longer(
    accumulated: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"learning_rate": DECAY, "momentum": RISE, "gradient_accumulation_steps": accumulated}
    whole = compiled(make_optimizer(keras.optimizers.SGD, arguments, 30))
    expected = fit(whole, epochs=10)
    monkeypatch.setattr(schedule_table, "WINDOW", 5)
    monkeypatch.setattr("dltool.training.procedures.gradient_descent.STEPS_A_CALL", 2)
    parted = compiled(make_optimizer(keras.optimizers.SGD, arguments, 30))
    assert parted.optimizer.schedules["momentum"].size == 5
    found = fit(parted, epochs=10, steps_per_execution=3)
    assert [row["learning_rate"] for row in found] == [row["learning_rate"] for row in expected]
    assert [row["loss"] for row in found] == [row["loss"] for row in expected]


def test_a_table_of_hundreds_of_millions_of_steps_is_small_and_right_far_out() -> None:
    class Counted(Constant):
        asked = 0

        def __call__(self, step: Any) -> np.ndarray:
            self.asked = max(self.asked, np.size(step))
            return super().__call__(step)

    schedule = Counted(0.1)
    table = ScheduleTable.__new__(ScheduleTable)  # without the look at every value, which takes seconds
    table.schedule, table.steps, table.argument, table.size, table._first = (
        schedule,
        3 * 10**8,
        "learning_rate",
        2**20,
        0,
    )
    table._offset, table._values = tf.Variable(0, dtype=tf.int64), tf.Variable(table._of(0))
    assert np.isnan(float(table(3 * 10**8)))
    assert table.at(3 * 10**8) == pytest.approx(0.1)
    assert schedule.asked == 2**20


def test_steps_outside_of_the_table_are_nan_and_stop_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_table, "WINDOW", 4)
    monkeypatch.setattr("dltool.training.procedures.gradient_descent.reach", lambda optimizer, steps: None)
    model = compiled(make_optimizer(keras.optimizers.SGD, {"learning_rate": DECAY}, 9))
    with pytest.raises(FloatingPointError, match="loss became NaN"):
        fit(model)


# -- values out of range -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": LinearDecay(0.9, 1.4, 10)}, r"'momentum' must stay in \[0, 1\), but is 1 at step 2"),
        (
            {"learning_rate": StepDecay(0.1, 1, 1e300)},
            "'learning_rate' must stay finite and >= 0, but is inf at step 2",
        ),
        (
            {"clipnorm": Constant(0.1)},
            "'clipnorm' can't follow a schedule; learning_rate, momentum, beta_1, weight_decay can",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_values_that_the_optimizer_cannot_use_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_optimizer(keras.optimizers.SGD, arguments, 9)


# -- whole recipes -------------------------------------------------------------------------------------

OPENS = """
import json, sys
import keras
assert "dltool" not in sys.modules
found = []
for path in sys.argv[1:]:
    optimizer = keras.models.load_model(path).optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate, momentum = inner.get_config()["learning_rate"], inner.get_config()["momentum"]
    slots = min(float(abs(v.numpy()).sum()) for v in inner.momentums)
    steps = int(inner.iterations) * (inner.gradient_accumulation_steps or 1)
    found.append([rate if isinstance(rate, float) else rate["class_name"], momentum, steps, slots])
assert "dltool" not in sys.modules
print(json.dumps(found))
"""
HELD = [
    (
        "SGD",
        "{LinearDecay: {initial_learning_rate: 0.1, end_learning_rate: 0, decay_steps: 2 epochs}}",
        "PolynomialDecay",
    ),
    ("SGD", "{CosineDecay: {initial_learning_rate: 0.1, decay_steps: 2 epochs}}", "CosineDecay"),
    ("SGD", "{OneCycle: {max_learning_rate: 0.1, total_steps: 10}}", pytest.approx(0.1)),
    ("SGD", "0.1", pytest.approx(0.1)),
    ("LossScaleOptimizer", "{OneCycle: {max_learning_rate: 0.1, total_steps: 10}}", pytest.approx(0.1)),
    ("accumulation", "{OneCycle: {max_learning_rate: 0.1, total_steps: 10}}", pytest.approx(0.1)),
]


def test_saved_models_open_in_keras_without_dltool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_quick(tmp_path)
    momentum = "{LinearDecay: {initial_learning_rate: 0.5, end_learning_rate: 0.9, decay_steps: 1 epoch}}"
    for number, (name, rate, _) in enumerate(HELD):
        more = ", gradient_accumulation_steps: 4" if name == "accumulation" else ""
        optimizer = f"{{SGD: {{learning_rate: {rate}, momentum: {momentum}{more}}}}}"
        if name == "LossScaleOptimizer":
            optimizer = f"{{{name}: {{inner_optimizer: {optimizer}}}}}"
        arguments = [f"compile.optimizer={optimizer}", "fit.batch_size=256", "--out", tmp_path / str(number)]
        done = run(capsys, "train", recipe, *arguments)
        assert done.status == 0, done.err
    models = [str(tmp_path / str(number) / "model.keras") for number in range(len(HELD))]
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-c",
        BARE_KERAS + OPENS,
        *models,
    ]  # Keras warns of variables it skips
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (rate, momentum, steps, slots), (_, _, held) in zip(
        json.loads(done.stdout.splitlines()[-1]), HELD, strict=True
    ):
        assert (rate, momentum, steps) == (held, pytest.approx(0.9), 12)  # 6 steps an epoch, 2 epochs
        assert slots > 0, "the momentum's slots were not loaded"


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_resumed_training_with_schedules_is_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cycle = "{OneCycle: {max_learning_rate: %s, total_steps: 4 epochs, initial_learning_rate: %s}}"
    optimizer = (
        f"{{SGD: {{learning_rate: {cycle % (0.2, 0.1)}, momentum: {cycle % (0.85, 0.95)}, weight_decay: 1e-4}}}}"
    )
    recipe = write_quick(tmp_path)
    arguments = [f"compile.optimizer={optimizer}", "fit.batch_size=256", "deterministic=true"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert run(capsys, "train", recipe, *arguments, "fit.epochs=4", "--out", whole).status == 0
    assert run(capsys, "train", recipe, *arguments, "fit.epochs=2", "--out", parted).status == 0
    resumed = run(capsys, "train", parted, "fit.epochs=4", "--resume", "--accept-changes")
    assert resumed.status == 0, resumed.err
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in logged(folder)] for folder in (whole, parted)]
    assert rows[0] == rows[1]
    assert {"momentum", "learning_rate"} <= rows[0][0].keys() and "weight_decay" not in rows[0][0]
    weights = [keras.models.load_model(folder / "model.keras").get_weights() for folder in (whole, parted)]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_a_plateau_cannot_change_a_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = "compile.optimizer.Adam.learning_rate={StepDecay: {initial_learning_rate: 0.1, decay_steps: 5}}"
    recipe = write_quick(tmp_path)
    plateau = "fit.callbacks=[{ReduceLROnPlateau: {monitor: loss}}]"
    done = run(capsys, "train", recipe, rate, plateau, "--out", tmp_path / "run")
    assert done.status == 2
    assert "this recipe's is a schedule. Remove one of them" in done.err


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        ("{SGD: {momentum: {LinearDecai: 0.1}}}", "no schedule named 'LinearDecai'. Did you mean 'LinearDecay'?"),
        ("{SGD: {momentum: {Constant: 1.5}}}", "compile.optimizer.SGD: the schedule of 'momentum' must stay in [0, 1)"),
        ("{Adam: {learning_rate: {Noam: {d_model: 64, warmup_steps: -4}}}}",
         "learning_rate.Noam: The 'warmup_steps' parameter of Noam must be an int > 0. Got -4 instead."),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_is_one_line(
    optimizer: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", write_quick(tmp_path), f"compile.optimizer={optimizer}", "--out", tmp_path / "run")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert line in done.err


def test_the_state_of_training_does_not_hold_the_tables() -> None:
    model = compiled(make_optimizer(keras.optimizers.SGD, {"learning_rate": DECAY, "momentum": RISE}, 9))
    shapes = [array.shape for array in capture_arrays(model, None, []).values()]
    assert (10,) not in shapes
    assert scheduled_optimizer.schedules_of(model.optimizer).keys() == {"learning_rate", "momentum"}
    assert isinstance(OneCycle(0.1, 5), Schedule)

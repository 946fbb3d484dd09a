"""Training in stages: what learns when, at which rate, and that interrupted training goes on bit for bit."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.runs.keeper import Keeper
from dltool.training.procedures.gradient_descent import GradientDescent, training_step
from dltool.training.procedures.stages import Stages
from dltool.training.trainable_layers import select_trainable
from tests.command_line import run, trained, write_quick

SIZE, STEPS = 40, 5  # batches of 8

RECIPE = """\
# A small net in two stages.
data:
  dataset: Digits
  validation_split: 0.2
model:
  - Normalization: {axis: null}
  - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
  - BatchNormalization
  - Flatten
  - Dropout: 0.3
  - Dense: {units: 16, activation: relu, kernel_regularizer: {L2: 1e-3}}
  - Dense: ${data.num_classes}
compile:
  optimizer:
    Adam: {beta_1: {LinearDecay: {initial_learning_rate: 0.8, end_learning_rate: 0.95, decay_steps: 4 epochs}}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
  steps_per_execution: 4
fit:
  batch_size: 32
  callbacks:
    - EarlyStopping: {patience: 90, restore_best_weights: true, monitor: val_loss}
procedure:
  Stages:
    - {trainable: "dense*", epochs: 2, learning_rate: 1e-2}
    - trainable: [conv2d, batch_normalization, "dense*"]
      epochs: 2
      learning_rate: {CosineDecay: {initial_learning_rate: 5e-3, decay_steps: 2 epochs}}
select: {monitor: val_accuracy, mode: max}
deterministic: true
seed: 3
"""


def net() -> keras.Model:
    keras.utils.set_random_seed(5)
    body = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Conv2D(4, 3, name="conv"), keras.layers.BatchNormalization(name="norm")],
        name="body",
    )
    layers = [body, keras.layers.Flatten(), keras.layers.Dense(5, name="hidden"), keras.layers.Dense(3, name="head")]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers])


def compiled(model: keras.Model, optimizer: Any) -> keras.Model:
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def pipeline() -> InMemory:
    generator = np.random.default_rng(0)
    x = generator.normal(1.0, 2.0, size=(SIZE, 6, 6, 1)).astype("float32")
    return InMemory(DeviceArrays(Examples(x, generator.integers(3, size=SIZE).astype("int32"))), None, 8)


def fitted(model: keras.Model, stages: list[dict[str, Any]], **arguments: Any) -> list[dict[str, float]]:
    data = pipeline()
    procedure = Stages(stages)
    procedure.prepare(model, STEPS)
    x, y = next(data.batches(1))
    model.compute_metrics(x, y, model(x), None)
    return procedure.fit(model, data, epochs=sum(one["epochs"] for one in stages), **arguments)


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for weight in model.weights}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {"/".join(path.split("/")[-2:]) for path in before if not np.array_equal(before[path], after[path])}


# -- what learns -----------------------------------------------------------------------------------------


def test_a_stage_changes_the_layers_it_names_and_no_bit_of_others() -> None:
    model = compiled(net(), keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01))
    before = weights(model)
    fitted(model, [{"trainable": "head", "epochs": 2}])
    middle = weights(model)
    assert changed(before, middle) == {"head/kernel", "head/bias"}
    fitted(model, [{"trainable": ["hidden", "norm"], "epochs": 1}])
    moving = {"norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"}
    assert changed(middle, weights(model)) == {"hidden/kernel", "hidden/bias", *moving}


def test_a_models_name_stands_for_its_layers_and_a_path_for_one() -> None:
    model = net()
    select_trainable(model, ["body"])
    assert {weight.path.split("/")[-2] for weight in model.trainable_weights} == {"conv", "norm"}
    select_trainable(model, ["body/c*", "hea?"])
    assert {weight.path.split("/")[-2] for weight in model.trainable_weights} == {"conv", "head"}
    select_trainable(model, ["*"])
    assert len(model.trainable_weights) == 8


def test_frozen_batch_normalisation_uses_its_moving_averages_in_training() -> None:
    model = net()
    x = np.random.default_rng(0).normal(3.0, 2.0, (8, 6, 6, 1)).astype("float32")
    select_trainable(model, ["body"])
    assert not np.allclose(model(x, training=True), model(x, training=False), atol=1e-3)
    select_trainable(model, ["head"])
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))


def test_frozen_layers_cost_no_backward_pass() -> None:
    """What a compiled step's outputs and effects depend on is what runs: no gradient of a convolution among it."""

    def gradients(globs: list[str]) -> int:
        model = compiled(net(), keras.optimizers.SGD(0.1))
        select_trainable(model, globs)
        step = tf.function(training_step(model, None, None, False))
        traced = step.get_concrete_function(tf.TensorSpec((8, 6, 6, 1)), tf.TensorSpec((8,), tf.int32)).graph
        runs, wanted = set(), [*(tensor.op for tensor in traced.outputs), *traced.control_outputs]
        while wanted:
            operation = wanted.pop()
            if operation not in runs:
                runs.add(operation)
                wanted += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
        return sum(operation.type.startswith("Conv2DBackprop") for operation in runs)

    assert gradients(["*"]) == 1  # by the kernel; the first layer's input needs none
    assert gradients(["hidden", "head"]) == 0


# -- rates and optimizers --------------------------------------------------------------------------------


def test_a_stage_is_plain_gradient_descent_with_a_fresh_optimizer_at_its_rate() -> None:
    """The independent twin: two calls of plain gradient descent on the layers frozen by hand."""
    staged = compiled(net(), keras.optimizers.SGD(0.5, momentum=0.9))
    decay = LinearDecay(0.02, decay_steps=2 * STEPS, end_learning_rate=0.0)
    stages = [
        {"trainable": "head", "epochs": 1, "learning_rate": 0.01},
        {"trainable": ["body", "hidden"], "epochs": 2, "learning_rate": decay},
    ]
    history = fitted(staged, stages, shuffle=False)
    twin, data = net(), pipeline()
    for layer in twin.layers:
        layer.trainable = layer.name == "head"
    keras_decay = keras.optimizers.schedules.PolynomialDecay(0.02, 2 * STEPS, end_learning_rate=0.0)
    found = []
    for rate, epochs in ((0.01, 1), (keras_decay, 2)):
        compiled(twin, keras.optimizers.SGD(rate, momentum=0.9))
        x, y = next(data.batches(1))
        twin.compute_metrics(x, y, twin(x), None)
        found += GradientDescent().fit(twin, data, epochs=epochs, shuffle=False)
        for layer in twin.layers:
            layer.trainable = layer.name != "head"
    np.testing.assert_allclose([row["loss"] for row in history], [row["loss"] for row in found], rtol=1e-5)
    for mine, other in zip(staged.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    assert [row["stage"] for row in history] == [1, 2, 2]
    assert [row["step"] for row in history] == [5, 10, 15]
    # 0.02 (1 - step / 10) at the stage's steps 4 and 9
    assert [row["learning_rate"] for row in history] == pytest.approx([0.01, 0.012, 0.002])


def test_other_schedules_follow_the_steps_of_the_whole_training() -> None:
    from dltool.training.scheduled_optimizer import make_optimizer

    rise = LinearDecay(0.5, decay_steps=4 * STEPS, end_learning_rate=0.9)
    model = compiled(net(), make_optimizer(keras.optimizers.SGD, {"learning_rate": 0.01, "momentum": rise}, 4 * STEPS))
    history = fitted(model, [{"trainable": "head", "epochs": 1}, {"epochs": 3}])
    # 0.5 + 0.4 step / 20 at steps 4, 9, 14, 19
    assert [row["momentum"] for row in history] == pytest.approx([0.58, 0.68, 0.78, 0.88])


def test_loss_scaling_of_float16_goes_on_around_each_stages_optimizer() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = net()
    keras.config.set_dtype_policy("float32")
    model.dtype_policy = "mixed_float16"
    compiled(model, keras.optimizers.SGD(0.01))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    history = fitted(model, [{"trainable": "head", "epochs": 1}, {"epochs": 1, "learning_rate": 0.001}])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert [row["learning_rate"] for row in history] == pytest.approx([0.01, 0.001])


class States:
    """Takes a snapshot at every look, each epoch's last step and end among them."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def begun(self, procedure: Any) -> None:
        pass

    def advanced(self, procedure: Any) -> None:
        self.taken.append(procedure.state())

    def epoch_ended(self, procedure: Any, row: dict[str, float]) -> None:
        self.taken.append(procedure.state())


def test_a_state_of_any_moment_leads_to_the_same_bits() -> None:
    """Within a stage, and after its last epoch, when the next one's optimizer is not there yet."""
    stages = [{"trainable": "h*", "epochs": 1, "learning_rate": 0.01}, {"epochs": 1, "learning_rate": 0.005}]
    states, unbroken = States(), compiled(net(), keras.optimizers.Adam(0.1))
    rows = fitted(unbroken, stages, observer=states, steps_per_execution=3, seed=2)
    positions = [(state.position.epoch, state.position.step) for state in states.taken]
    assert positions == [(0, 3), (0, 5), (1, 0), (1, 3), (1, 5), (2, 0)]
    for state in (states.taken[0], states.taken[2], states.taken[3], states.taken[5]):
        model = compiled(net(), keras.optimizers.Adam(0.1))
        again = fitted(model, stages, state=state, seed=2)
        assert [row["loss"] for row in again] == [row["loss"] for row in rows]
        variables = [one.weights + one.optimizer.variables for one in (model, unbroken)]
        assert all(np.array_equal(mine, other) for mine, other in zip(*variables, strict=True))


def test_averaged_weights_of_a_stage_are_what_the_next_one_begins_with() -> None:
    """The twin: plain gradient descent on the first stage alone, at whose end Keras keeps the averages."""
    twin = compiled(net(), keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    select_trainable(twin, ["head"])
    data = pipeline()
    x, y = next(data.batches(1))
    twin.compute_metrics(x, y, twin(x), None)
    GradientDescent().fit(twin, data, callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)], shuffle=False)
    stages = [{"trainable": "head", "epochs": 1, "learning_rate": 0.1}, {"epochs": 1, "learning_rate": 1e-9}]
    states = States()
    for state in (None, 0):  # unbroken, and from the state between the stages
        model = compiled(net(), keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        begin = None if state is None else next(one for one in states.taken if one.position.epoch == 1)
        fitted(model, stages, shuffle=False, callbacks=[swap], state=begin, observer=states if begin is None else None)
        mine, other = (one.get_layer("head").get_weights()[0] for one in (model, twin))
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_rates_follow_a_plan_that_was_changed_before_resuming() -> None:
    """The second stage once began after an epoch, and now after two: its schedule's steps count from there."""
    decay = LinearDecay(0.02, decay_steps=2 * STEPS, end_learning_rate=0.0)
    states = States()
    plan = [{"epochs": 1, "learning_rate": 0.01}, {"epochs": 3, "learning_rate": decay}]
    fitted(compiled(net(), keras.optimizers.SGD(0.1)), plan, observer=states)
    state = next(one for one in states.taken if one.position.epoch == 3 and one.position.step == 0)
    plan = [{"epochs": 2, "learning_rate": 0.01}, {"epochs": 2, "learning_rate": decay}]
    history = fitted(compiled(net(), keras.optimizers.SGD(0.1)), plan, state=state)
    # 0.02 (1 - 9 / 10) at the last of the new stage's 10 steps; the old stage had made 10 by then
    assert history[-1]["learning_rate"] == pytest.approx(0.002)


# -- through the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quick(tmp_path_factory.mktemp("stages"), "stages.yaml", RECIPE)


@pytest.fixture(scope="module")
def unbroken(recipe: Path) -> Path:
    trained(recipe, "--out", recipe.parent / "unbroken")
    return recipe.parent / "unbroken"


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def state(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoint" / "state.npz") as file:
        return {name: file[name] for name in file.files if name != "__plain__"}


def test_interrupted_and_resumed_training_equals_unbroken_training(
    recipe: Path, unbroken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal in the second of the two stages, in the middle of an epoch of 36 steps."""
    folder, advanced, steps = recipe.parent / "broken", Keeper.advanced, []

    def watched(keeper: Keeper, procedure: Any) -> None:
        if not steps and procedure.position.total_steps > 2 * 36:
            steps.append(procedure.position.step)
            os.kill(os.getpid(), signal.SIGTERM)
        advanced(keeper, procedure)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "advanced", watched)
        done = run(capsys, "train", recipe, "--out", folder)
    assert done.status == 143 and 0 < steps[0] < 36, done.err
    trained(folder, "--resume")
    assert history(folder) == history(unbroken)
    expected, found = state(unbroken), state(folder)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    figures = [json.loads((one / "metrics.json").read_text()) | {"seconds": 0} for one in (unbroken, folder)]
    assert figures[0] == figures[1]


def test_evaluation_of_the_saved_model_gives_the_figures_of_training(
    unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((unbroken / "metrics.json").read_text())
    found = json.loads(run(capsys, "eval", unbroken, "--format", "json").out)["scores"][0]
    assert found["loss"] == pytest.approx(kept["test"]["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(kept["test"]["accuracy"], abs=1e-6)
    model = keras.models.load_model(unbroken / "model.keras")
    assert int(model.optimizer.iterations) == 2 * 36  # of the last stage: 1,149 examples in batches of 32


def test_lr_schedule_shows_the_stages_as_training_logs_them(
    recipe: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "lr-schedule", recipe, "--every", "1 epoch", "--format", "json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert {row["argument"]: row["epochs"] for row in report["schedules"]} == {"learning_rate": 4, "beta_1": 4}
    rates = [row["learning_rate"] for row in report["values"]]
    assert rates[:4] == pytest.approx([1e-2, 1e-2, 5e-3, 2.5e-3])  # the cosine at its start, and half way
    agreement = json.loads(run(capsys, "lr-schedule", unbroken, "--format", "json").out)["agreement"]
    assert [(row["argument"], row["epochs"]) for row in agreement] == [("learning_rate", 4), ("beta_1", 4)]
    assert all(row["max_relative_difference"] < 1e-6 for row in agreement)


@pytest.mark.parametrize(
    ("override", "place", "message"),
    [
        ("fit.epochs=8", "", "fit.epochs: is 8, but the stages of the procedure have 4 epochs"),
        ("procedure.Stages.0.trainable=denes", "procedure.Stages[0]", "no layer with weights matches 'denes'"),
        ("procedure.Stages.0.trainable=dropout", "procedure.Stages[0]", "Layers: normalization, conv2d"),
        ("procedure.Stages.1.trainable=normalization", "procedure.Stages[1]", "nothing would learn"),
        ("procedure.Stages.1.epochs=0", "procedure.Stages", "stages[1]: The 'epochs' parameter of Stages must be"),
        ("procedure.Stages.0.rate=1", "procedure.Stages", "stages[0]: a stage has no 'rate'"),
        ("procedure.Stages.0.learning_rate=-1", "procedure.Stages", "stages[0]: The 'learning_rate' parameter"),
        ("procedure.Stages=[]", "procedure.Stages", "a list that is not empty"),
        ("fit.callbacks=[ReduceLROnPlateau]", "fit.callbacks[0]", "this recipe's is a schedule"),
    ],
)
def test_what_is_wrong_with_stages_is_told_at_its_place_in_one_line(
    override: str, place: str, message: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", recipe, override, "--out", tmp_path / "run")
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert message in done.err
    assert place.partition(": ")[2] in done.err
    assert not (tmp_path / "run").exists()


def test_diverging_in_a_later_stage_keeps_the_model_of_an_earlier_one(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["procedure.Stages.1.learning_rate=1e30", "fit.callbacks=null"]
    done = run(capsys, "train", recipe, *overrides, "--out", tmp_path / "run")
    assert done.status == 4, done.err
    assert "(epoch 3" in done.err and "the state after epoch 2" in done.err
    assert run(capsys, "eval", tmp_path / "run", "--require", "accuracy>=0.3").status == 0

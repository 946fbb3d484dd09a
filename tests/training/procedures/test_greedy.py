"""Greedy pre-training: what learns in which stage, what is reported, and that it goes on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.objectives.autoencoder import Autoencoder
from dltool.training.procedures.gradient_descent import GradientDescent
from dltool.training.procedures.greedy import Greedy
from tests.command_line import run, write_quick

STEPS = 5  # batches of 8
RECIPE = """\
# A small net, pre-trained layer by layer.
data: {dataset: Digits, validation_split: 0.2}
model:
  - Rescaling: 0.0625
  - Flatten
  - Dense: {units: 8, activation: sigmoid, name: first}
  - Dense: {units: 4, activation: tanh, name: second}
  - Dense: {units: 8, activation: sigmoid, name: back}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {batch_size: 64}
procedure:
  Greedy:
    - {layer: first, objective: Autoencoder, epochs: 1}
    - {layer: second, objective: {Autoencoder: {loss: squared_error}}, epochs: 1, optimizer: {SGD: 0.1}, decoder: back}
    - {epochs: 2}
seed: 3
"""


def net() -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, "sigmoid", name="first"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, "sigmoid", name="second"),
            keras.layers.Dense(5, "sigmoid", name="back"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    return model


def pipeline() -> InMemory:
    generator = np.random.default_rng(0)
    x = generator.random((8 * STEPS - 3, 6)).astype("float32")  # the last batch is smaller
    return InMemory(DeviceArrays(Examples(x, generator.integers(3, size=len(x)).astype("int32"))), None, 8)


def stages() -> list[dict[str, Any]]:
    return [
        {"layer": "first", "objective": Autoencoder(), "epochs": 2, "learning_rate": 0.05},
        {"layer": "sec*", "objective": Autoencoder(tied=False), "epochs": 1, "decoder": "back"},
        {"epochs": 2, "optimizer": "sgd"},
    ]


def fitted(model: keras.Model, given: list[dict[str, Any]], **arguments: Any) -> Greedy:
    data, procedure = pipeline(), Greedy(given)
    procedure.prepare(model, STEPS)
    x, y = next(data.batches(1))
    model.compute_metrics(x, y, model(x), None)
    procedure.fit(model, data, data, epochs=sum(one["epochs"] for one in given), seed=2, **arguments)
    return procedure


class States:
    """Takes a snapshot at every look."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def begun(self, procedure: Any) -> None: ...

    def advanced(self, procedure: Any) -> None:
        self.taken.append(procedure.state())

    epoch_ended = lambda self, procedure, row: self.advanced(procedure)  # noqa: E731


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, Greedy, list[Any]]:
    model, states = net(), States()
    procedure = fitted(model, stages(), observer=states, steps_per_execution=3)
    return model, procedure, states.taken


def changed(before: Any, after: Any) -> set[str]:
    names = [weight.path for weight in net().variables]
    arrays = [[state.arrays[f"model/{index}"] for index in range(len(names))] for state in (before, after)]
    return {
        name.split("/")[-2] for name, one, other in zip(names, *arrays, strict=True) if not np.array_equal(one, other)
    }


def at(states: list[Any], epoch: int, step: int) -> Any:
    return next(state for state in states if (state.position.epoch, state.position.step) == (epoch, step))


def test_a_stage_of_pre_training_changes_its_layer_alone_and_no_bit_of_others(trained: Any) -> None:
    _, _, states = trained
    assert changed(at(states, 0, 3), at(states, 1, 5)) == {"first"}
    assert changed(at(states, 2, 0), at(states, 2, 3)) == {"second"}
    assert changed(at(states, 2, 3), at(states, 3, 0)) == {"second", "back"}  # the last step unrolls the decoder
    assert changed(at(states, 3, 0), at(states, 4, 0)) >= {"first", "second", "back", "head"}


def test_a_row_has_the_figures_of_its_stage(trained: Any) -> None:
    """Validation, loss and metrics belong to fine-tuning: before it the head is untrained."""
    _, procedure, _ = trained
    assert [row["stage"] for row in procedure.history] == [1, 1, 2, 3, 3]
    assert [row["learning_rate"] for row in procedure.history] == pytest.approx([0.05, 0.05, 0.01, 0.01, 0.01])
    own = [set(row) - {"epoch", "step", "seconds", "stage", "learning_rate"} for row in procedure.history]
    assert own == [{"reconstruction"}] * 3 + [{"loss", "accuracy", "val_loss", "val_accuracy"}] * 2
    first, second = procedure.history[0]["reconstruction"], procedure.history[1]["reconstruction"]
    assert second < first < 6
    assert procedure.remarks()[0] == (
        f"stage 1: layer first by Autoencoder, reconstruction {first:.4g} to {second:.4g}"
    )


def test_pre_training_is_gradient_descent_on_an_autoencoder_of_keras() -> None:
    """The twin: a functional model of two Dense layers, the decoder of its own, fitted to its inputs.

    The second layer learns from the first's outputs, Dropout between them left out. Keras's cross-entropy is the mean
    over features, the objective their sum: the twin's rate is 5 times as large.
    """
    model = net()
    twin_inputs = keras.Sequential([keras.Input((6,)), model.get_layer("first")])
    encoder, decoder = keras.layers.Dense(3, "sigmoid"), keras.layers.Dense(5, "sigmoid")
    twin = keras.Sequential([keras.Input((5,)), encoder, decoder])
    twin.compile(keras.optimizers.SGD(0.1 * 5), keras.losses.BinaryCrossentropy())
    given = [{"layer": "second", "objective": Autoencoder(tied=False), "epochs": 2, "optimizer": "sgd",
              "learning_rate": 0.1}]  # fmt: skip
    procedure = Greedy(given)
    procedure.prepare(model, STEPS)
    encoder.set_weights(model.get_layer("second").get_weights())
    decoder.set_weights([np.asarray(one) for one in given[0]["objective"].decoder()])
    x, y = next(pipeline().batches(1))
    model.compute_metrics(x, y, model(x), None)
    procedure.fit(model, pipeline(), epochs=2, shuffle=False)
    x = np.concatenate([np.asarray(x) for x, _ in pipeline().batches()])
    hidden = np.asarray(twin_inputs(x))
    data = InMemory(DeviceArrays(Examples(hidden, hidden)), None, 8)
    twin.compute_metrics(hidden, hidden, twin(hidden), None)
    history = GradientDescent().fit(twin, data, epochs=2, shuffle=False)
    for mine, other in zip(model.get_layer("second").get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    found = [row["reconstruction"] for row in procedure.history]
    np.testing.assert_allclose(found, [5 * row["loss"] for row in history], rtol=1e-5)
    assert isinstance(model.optimizer, keras.optimizers.Adam) and int(model.optimizer.iterations) == 0
    assert len(model.trainable_variables) == 8  # as a model that was never trained


def test_the_decoder_becomes_the_layers_weights(trained: Any) -> None:
    _, procedure, states = trained
    objective = procedure.stages[1].objective
    names = [weight.path for weight in net().variables]
    arrays = at(states, 3, 0).arrays
    kernel, bias = (arrays[f"model/{names.index(f'sequential/back/{name}')}"] for name in ("kernel", "bias"))
    assert np.array_equal(kernel, objective.kernel) and np.array_equal(bias, objective.bias)
    tied = Autoencoder()
    tied.build(layer := net().get_layer("second"), (None, 5))
    assert np.array_equal(tied.decoder()[0], layer.kernel.numpy().T)


def test_a_state_of_any_moment_leads_to_the_same_bits(trained: Any) -> None:
    """Within a stage, and after its last epoch, when the next one is not there yet."""
    unbroken, procedure, states = trained
    for epoch, step in ((2, 3), (3, 0)):
        model = net()
        again = fitted(model, stages(), state=at(states, epoch, step))
        rows = [[{**row, "seconds": 0} for row in one.history] for one in (again, procedure)]
        assert rows[0] == rows[1], (epoch, step)
        variables = [one.weights + one.optimizer.variables for one in (model, unbroken)]
        assert all(np.array_equal(mine, other) for mine, other in zip(*variables, strict=True))


# -- through the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quick(tmp_path_factory.mktemp("greedy"), "greedy.yaml", RECIPE)


@pytest.mark.parametrize(
    ("override", "place", "message"),
    [
        ("procedure.Greedy.0.layer=fist", "procedure.Greedy[0]", "no layer with weights matches 'fist'. Did you mean"),
        ("procedure.Greedy.0.layer='*s*'", "procedure.Greedy[0]", "matches several layers"),
        ("procedure.Greedy.0.decoder=back", "procedure.Greedy[0]", "a kernel of shape (8, 64), layer 'back' of (4, 8)"),
        (
            "model.4.Dense={units: 8, use_bias: false, name: back}",
            "procedure.Greedy[1].decoder",
            "a decoder has a bias, and layer 'back' none",
        ),
        ("procedure.Greedy.0.objective=Autoencode", "objective", "no objective named 'Autoencode'. Did you mean"),
        ("procedure.Greedy.0.objective=null", "procedure.Greedy", "stages[0]: a stage with 'layer' needs 'objective'"),
        ("procedure.Greedy.2.decoder=back", "procedure.Greedy", "stages[2]: 'decoder' stands with 'layer'"),
        ("compile.optimizer.Adam.use_ema=true", "procedure.Greedy[0]", "averages of weights (use_ema) do not suit"),
        ("model.0.Rescaling=1.0", "procedure.Greedy: stages[0]", "inputs in [0, 1]. Those of layer 'first' are in [0,"),
        (
            "procedure.Greedy.1={layer: back, objective: Autoencoder, epochs: 1}",  # checked before stage 0 begins
            "procedure.Greedy: stages[1]",
            "inputs in [0, 1]. Those of layer 'back' are in [-",
        ),
    ],
)
def test_what_is_wrong_with_stages_is_told_at_its_place_in_one_line(
    override: str, place: str, message: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", recipe, override, "--out", tmp_path / "run")
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert message in done.err and place in done.err
    assert not (tmp_path / "run").exists()


def test_diverging_in_pre_training_keeps_the_state_before_and_a_model_that_opens(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    override = "procedure.Greedy.1.optimizer={SGD: {learning_rate: 1e30}}"
    done = run(capsys, "train", recipe, override, "--out", tmp_path / "run")
    assert done.status == 4, done.err
    assert "loss became infinite at step" in done.err and "the state after epoch 1 are in" in done.err
    assert run(capsys, "eval", tmp_path / "run").status == 0
    assert [str(one.message) for one in recwarn if "optimizer" in str(one.message)] == []


def test_only_epochs_of_fine_tuning_are_chosen_from(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["procedure.Greedy.1.epochs=2", "fit.callbacks=[EarlyStopping, CSVLogger: log.csv]"]
    done = run(capsys, "train", recipe, *overrides, "--out", tmp_path / "run", "--format", "json")
    assert done.status == 0 and "conditioned on" not in done.err, done.err
    assert "stage 2: layer second by Autoencoder, reconstruction" in done.err
    assert json.loads(done.out)["training"][0]["selected_epoch"] in (4, 5)

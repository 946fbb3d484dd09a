"""Adversarial training: the players' losses, what a run keeps, what is said of a collapse, and an exact resume."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_expit

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.losses._adversarial import GAMES
from dltool.library.losses.sliced_wasserstein import SlicedWasserstein
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.training.procedures.adversarial import FIGURES, Adversarial
from dltool.training.scheduled_optimizer import current_values, make_optimizer
from dltool.training.training_state import Position
from tests.command_line import run

RECIPE = """\
# A tiny generator of 8x8 digits, conditional.
data:
  dataset: Digits
  inputs: {noise: 4, classes: true}
model:
  - Dense: {units: 16, activation: relu}
  - BatchNormalization
  - Dense: {units: 64, activation: sigmoid}
  - Reshape: ${data.target_shape}
compile:
  optimizer: {Adam: {learning_rate: 1e-3, use_ema: true, ema_momentum: 0.9}}
  loss: SlicedWasserstein
procedure:
  Adversarial:
    discriminator:
      - Flatten
      - SpectralNormalization: {layer: {Dense: {units: 16, activation: leaky_relu}}}
      - BatchNormalization
      - Dropout: 0.2
      - Dense: ${data.num_classes}
    optimizer:
      Adam: {learning_rate: {LinearDecay: {initial_learning_rate: 1e-3, decay_steps: 4 epochs, end_learning_rate: 0}}}
    loss: hinge
fit: {epochs: 4, batch_size: 64}
seed: 3
deterministic: true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adversarial")
    (path / "gan.yaml").write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_the_players_are_those_of_the_papers(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(2, 9)).astype("float32")
    log = -((1 - smoothing) * log_expit(real) + smoothing * log_expit(-real) + log_expit(-made)).mean()
    squares = ((real - 1 + smoothing) ** 2 + made**2).mean() / 2
    hinges = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + made).mean()
    expected = {
        "non_saturating": (log, -log_expit(made).mean()),
        "least_squares": (squares, ((made - 1) ** 2).mean() / 2),
        "hinge": (hinges, -made.mean()),
    }
    for name, game in GAMES.items():
        found = game.discriminator(real, made, smoothing), game.generator(made)
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, err_msg=name)


def pipeline() -> InMemory:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=61)  # batches of 16, the last one smaller
    x = np.concatenate([np.zeros((61, 2)), np.eye(3)[labels]], axis=1).astype("float32")
    return InMemory(DeviceArrays(Examples(x, generator.random((61, 2, 3), np.float32))), None, 16)


def players() -> tuple[keras.Model, Adversarial]:
    """A generator of 2 numbers and 3 classes, and a discriminator with every kind of state."""
    keras.utils.set_random_seed(4)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(6), layers.BatchNormalization(), layers.Reshape((2, 3))], name="generator"
    )
    model.compile(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), SlicedWasserstein())
    model.optimizer.build(model.trainable_variables)
    slope = make_optimizer(keras.optimizers.Adam, {"learning_rate": LinearDecay(0.01, 0.0, decay_steps=12)}, 12)
    discriminator = [
        layers.Flatten(), layers.SpectralNormalization(layers.Dense(8)), layers.Dropout(0.2), layers.Dense(3)
    ]  # fmt: skip
    procedure = Adversarial(discriminator, slope, "hinge")
    procedure.prepare(model, 4, class_names=["a", "b", "c"])
    return model, procedure


class States:
    """Takes a snapshot at every look."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def begun(self, procedure: Any) -> None: ...

    def advanced(self, procedure: Any) -> None:
        self.taken.append(procedure.state())

    epoch_ended = lambda self, procedure, row: self.advanced(procedure)  # noqa: E731


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, Adversarial, list[Any]]:
    (model, procedure), states = players(), States()
    procedure.fit(model, pipeline(), epochs=3, seed=2, observer=states, steps_per_execution=1)
    return model, procedure, states.taken


def test_training_from_a_state_ends_with_the_same_bits_of_both_players_and_their_optimizers(trained: Any) -> None:
    model, procedure, states = trained
    middle = next(state for state in states if (state.position.epoch, state.position.step) == (1, 2))
    other, again = players()
    again.fit(other, pipeline(), epochs=3, seed=2, state=middle, steps_per_execution=2)
    pairs = [(model.variables, other.variables), (model.optimizer.variables, other.optimizer.variables)]
    pairs += [(procedure.discriminator.variables, again.discriminator.variables)]
    pairs += [(procedure.optimizer.variables, again.optimizer.variables)]
    for ours, theirs in pairs:
        assert len(ours) == len(theirs) > 4
        assert [one.path for one, two in zip(ours, theirs, strict=True) if not np.array_equal(one, two)] == []
    assert [{**row, "seconds": 0} for row in again.history] == [{**row, "seconds": 0} for row in procedure.history]


def test_each_step_moves_both_players_and_a_row_has_the_figures_of_the_game(trained: Any) -> None:
    _, procedure, states = trained
    for name in ("model/0", "procedure/player/0"):
        assert not np.array_equal(states[0].arrays[name], states[1].arrays[name])
    assert int(procedure.optimizer.iterations) == 12
    rate = current_values(procedure.optimizer)["learning_rate"]
    assert rate == pytest.approx(0.01 / 12, rel=1e-3)  # the last step is number 11 of 12, counted from 0
    row = procedure.history[-1]
    assert set(FIGURES) < row.keys() and "loss" not in row
    assert min(row["real_accuracy"], row["made_accuracy"]) >= 0 and row["diversity"] > 0
    assert procedure.further_models["discriminator"].output_shape == (None, 3)


@pytest.mark.parametrize("ends", [False, True])
def test_a_collapse_is_said_once_in_one_line_and_ends_training_if_asked(
    ends: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    procedure = Adversarial([keras.layers.Dense(1)], "adam", end_on_collapse=ends)
    procedure.model, procedure.position = SimpleNamespace(stop_training=False), Position(epoch=4)
    figures = dict.fromkeys(FIGURES, 0.5)
    for diversity in (0.01, 0.05, 0.9, 0.09):  # it rises at first, and 0.09 is the first to fall below 0.1
        assert capsys.readouterr().err == "" and not procedure.model.stop_training
        procedure._look_at({**figures, "diversity": diversity})
    assert capsys.readouterr().err.strip() == (
        "dltool: epoch 5: the generator has collapsed: its pixels vary 0.09 times as much as the data's."
        + " Training ends." * ends
    )
    assert procedure.model.stop_training == ends
    procedure._look_at({**figures, "diversity": 0.08})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.inputs=null", "learns to make images of noise. Set data.inputs to {noise: 64}."),
        ("procedure.Adversarial.discriminator.4.Dense=3", "end it with a Dense of 10 outputs, one for each class"),
        ("procedure.Adversarial.loss=cubic", "'loss' parameter of Adversarial must be one of 'non_saturating'"),
        ("procedure.Adversarial.label_smoothing=0.1", "means nothing to the loss hinge"),
        ("data.targets=inputs", "Remove 'targets'"),
        ("data.inputs.noise=0", "data.inputs: must be {noise: N} with an int N >= 1"),
        ("model.2.Dense.units=63", "model[3].Reshape"),
        ("procedure.Adversarial.discriminator.1.SpectralNormalization.layer=Flatten", "SpectralNormalization"),
    ],
)
def test_what_does_not_fit_is_reported_at_its_line(
    here: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    more = ["model.3={Flatten: {}}", "model.2.Dense.units=1", "compile.loss=MeanSquaredError"] * ("=null" in change)
    done = run(capsys, "train", "gan.yaml", change, *more, "--out", "refused")
    assert done.status == 2 and message in done.err, done.err
    assert "gan.yaml:" in done.err or "override" in done.err or "procedure" in done.err


def test_it_is_no_procedure_without_layers() -> None:
    with pytest.raises(ValueError, match="must be a list of layers. Got 3"):
        Adversarial(3, "adam")  # type: ignore[arg-type]

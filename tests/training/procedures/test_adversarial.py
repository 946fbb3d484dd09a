"""Adversarial training: the players' losses, what a run keeps, what is said of a collapse, and an exact resume."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.special import log_expit

from dltool.library.losses._adversarial import GAMES
from dltool.training.procedures.adversarial import FIGURES, Adversarial
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


def rows(name: str) -> list[dict[str, str]]:
    with Path(name, "history.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


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


def test_resumed_training_ends_with_the_same_bits_of_both_players_and_their_optimizers(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", "gan.yaml", "--out", "whole").status == 0
    assert run(capsys, "train", "gan.yaml", "fit.epochs=2", "--out", "parts").status == 0
    done = run(capsys, "train", "parts", "fit.epochs=4", "--resume", "--accept-changes")
    assert done.status == 0, done.err
    whole = rows("whole")
    assert rows("parts") == whole and set(FIGURES) < whole[0].keys()
    for file in ("model.keras", "discriminator.keras"):
        one, other = (keras.models.load_model(Path(name, file)) for name in ("whole", "parts"))
        for kind in ("weights", "optimizer"):
            ours, theirs = ([*(one.weights if kind == "weights" else one.optimizer.variables)] for one in (one, other))
            assert len(ours) > 2 and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)), (file, kind)
    states = [np.load(Path(name, "checkpoint", "state.npz")) for name in ("whole", "parts")]
    players = [name for name in states[0] if name.startswith("procedure/player/")]
    assert len(players) > 10 and all(np.array_equal(*(state[name] for state in states)) for name in players)


def test_a_run_keeps_a_generator_of_noise_and_class_and_a_discriminator_of_images(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, discriminator = (
        keras.models.load_model(Path("whole", f)) for f in ("model.keras", "discriminator.keras")
    )
    x = np.concatenate([np.zeros((3, 4)), np.eye(10)[[1, 2, 3]]], axis=1)
    images = generator.predict(x, verbose=0)
    assert images.shape == (3, 8, 8, 1) and 0 <= images.min() <= images.max() <= 1
    assert discriminator.predict(images, verbose=0).shape == (3, 10)
    done = run(capsys, "predict", "whole", "x.png")
    assert done.status == 2 and "makes images of noise. Use dltool generate" in done.err


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
        ("data.inputs.noise=0", "data.inputs: must be a mapping such as {noise: 64}"),
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

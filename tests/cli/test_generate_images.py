"""dltool generate of Boltzmann machines, the pictures of their kernels, and how eval judges them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from dltool.data.splits import split
from dltool.library.datasets.digits import Digits
from dltool.library.layers.rbm import RBM
from dltool.runs.boltzmann_machine import BoltzmannMachine
from dltool.runs.directory import RunDirectory
from dltool.runs.opened import OpenedRun
from tests.command_line import run, trained, write_quick

MACHINE = """\
# A Boltzmann machine.
data: {dataset: Digits, targets: inputs}
model:
  - Rescaling: 0.0625
  - Flatten
  - RBM: {units: 12, name: rbm, return_reconstruction: true}
  - Reshape: ${data.input_shape}
compile: {optimizer: SGD, loss: BinaryCrossentropy}
procedure:
  Greedy:
    - layer: rbm
      objective: {ContrastiveDivergence: {steps: 2, persistent: true, chains: 20}}
      epochs: 2
      learning_rate: 0.1
fit: {batch_size: 50}
seed: 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machines")
    trained(write_quick(folder, "rbm.yaml", MACHINE), "--out", folder / "rbm")
    return folder


def test_samples_are_a_row_of_images_after_each_stretch_of_steps(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--rows", 2, "--steps", 3, "--samples", 4, "--format", "json")
    pictures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = run(capsys, "generate", home / "rbm", "--out", tmp_path / f"{name}.png", "--seed", seed, *few)
        assert done.status == 0, done.err
        pictures.append((tmp_path / f"{name}.png").read_bytes())
        assert [(row["steps"], row["chains"]) for row in json.loads(done.out)["chains"]] == [(3, 4), (6, 4)]
    assert pictures[0] == pictures[1] != pictures[2]
    assert Image.open(io.BytesIO(pictures[0])).size[0] > 4 * 56
    machine = BoltzmannMachine(OpenedRun(home / "rbm"), "auto")
    *_, last = machine.draw(chains=4, rows=2, steps=3, seed=1)
    assert last.visible.shape == (4, 64)
    pixels = machine.pixels(last.visible)
    assert pixels.shape == (4, 8, 8)
    np.testing.assert_array_equal(pixels.reshape(4, 64), np.rint(255 * last.visible))


def test_a_deep_belief_net_draws_in_its_last_machine_and_goes_down(home: Path) -> None:
    opened = OpenedRun(home / "rbm")
    net = [keras.Input((8, 8, 1)), keras.layers.Flatten(), RBM(6), RBM(3), keras.layers.Dense(10)]
    vars(opened)["model"] = keras.Sequential(net)
    machine = BoltzmannMachine(opened, "auto")
    first, second = machine.layers
    first.kernel.assign(np.random.default_rng(0).normal(size=(64, 6)))
    on = np.array([1, 0, 0, 1, 1, 0])
    second.kernel.assign(np.zeros((6, 3)))
    second.visible_bias.assign(200.0 * on - 100)  # the chains can hold nothing else
    (samples,) = machine.draw(chains=2, rows=1, steps=1, seed=0)
    expected = expit(np.asarray(first.kernel) @ on + np.asarray(first.visible_bias))
    np.testing.assert_allclose(samples.visible, [expected] * 2, rtol=1e-5)
    assert samples.free_energy == pytest.approx(-300 - np.log1p(np.exp(np.asarray(second.bias))).sum(), rel=1e-5)


def test_eval_gives_the_exact_pseudo_likelihood_of_the_test_images(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", home / "rbm", "--format", "json")
    assert done.status == 0, done.err
    (figures,) = json.loads(done.out)["scores"]
    layer = RunDirectory(home / "rbm").load_model().get_layer("rbm")
    kernel, c, b = (np.asarray(one, np.float64) for one in (layer.kernel, layer.bias, layer.visible_bias))
    data = Digits()
    v = (np.asarray(data.read("train").x).reshape(-1, 64)[split(data)["test"].indices()] / 16 > 0.5).astype(float)

    def energy(v: np.ndarray) -> np.ndarray:
        return -v @ b - np.logaddexp(0, v @ kernel + c).sum(axis=-1)

    flipped = np.abs(v[:, None] - np.eye(64))
    expected = -np.logaddexp(0, energy(v)[:, None] - energy(flipped)).sum(axis=1).mean()
    assert figures["pseudo_likelihood"] == pytest.approx(expected, rel=1e-5)


def test_kernels_of_a_machine_are_pictures_of_the_inputs_shape(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "visualize-filters", home / "rbm", "--out", tmp_path / "filters", "--format", "json")
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["layers"]
    assert (row["layer"], row["type"], row["drawn"], row["kernel"]) == ("rbm", "RBM", 12, "8 x 8 x 1")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "draws images. Give a file: --out samples.png."),
        (("--out", "x.png", "--length", 3, "--top-k", 2), "--length, --top-k: mean nothing here"),
        (("--out", "x.gif"), "--out x.gif: "),
    ],
)
def test_what_does_not_fit_a_machine_is_one_line_and_status_2(
    home: Path, arguments: tuple[object, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "generate", home / "rbm", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert line in done.err


def test_inputs_that_are_no_images_are_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "rbm", tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "data.json").read_text())
    (tmp_path / "run" / "data.json").write_text(json.dumps({**facts, "input_shape": [64]}))
    done = run(capsys, "generate", tmp_path / "run", "--out", tmp_path / "samples.png")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "its 64 visible units are no image: its inputs have the shape (64,)" in done.err
    assert not (tmp_path / "samples.png").exists()

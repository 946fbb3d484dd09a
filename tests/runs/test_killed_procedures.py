"""SIGKILL in the middle of procedures other than gradient descent: resumed training ends with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dltool.recipe import catalogue, declarations
from tests.runs.test_resume import arrays, history

KILLS = int(os.environ.get("DLTOOL_TEST_KILLS", "2"))  # a procedure
SECONDS = 0.3  # between checkpoints; 2 without this, longer than some of these trainings
PROGRAM = (
    "import sys\nfrom dltool.runs import keeper\n"
    f"keeper.SECONDS_BETWEEN_CHECKPOINTS = {SECONDS}\n"
    "from dltool.cli import app\napp.main(sys.argv[1:])\n"
)
NET = "[{Dense: {units: 8, activation: tanh}}, {Dense: {units: 8, activation: tanh}}, {Dense: 1}]"
LOGITS = "{BinaryCrossentropy: {from_logits: true}}"
NAMED = (
    "[{Dense: {units: 8, activation: tanh, name: one}}, {Dense: {units: 4, activation: tanh, name: two}}, {Dense: 1}]"
)
NOISY = "{layer: one, objective: {Denoising: {noise: gaussian, loss: squared_error}}, epochs: 30}"
CONTRACTED = (
    "{layer: two, objective: {Contractive: {loss: squared_error, tied: false}}, epochs: 30, "
    "optimizer: {SGD: {learning_rate: 0.01, momentum: 0.9}}}"
)


class Kind(NamedTuple):
    """A training of some seconds."""

    samples: int
    epochs: int
    procedure: str
    model: str = NET
    loss: str = LOGITS
    optimizer: str = ""
    data: str = ""
    validation: float = 0.1


PLAYERS = (
    "{Adversarial: {discriminator: [{Dense: {units: 16, activation: relu}}, {Dropout: 0.1}, {Dense: 1}], "
    "optimizer: Adam}}"
)
KINDS = {
    "Adversarial": Kind(4000, 120, PLAYERS, "[{Dense: {units: 16, activation: relu}}, {Dense: 2}]", "SlicedWasserstein",
                        ", optimizer: {Adam: {use_ema: true}}", ", inputs: {noise: 3}", 0),
    "BFGS": Kind(4000, 80, "BFGS"),
    "ConjugateGradient": Kind(4000, 60, "ConjugateGradient"),
    "Greedy": Kind(4000, 90, f"{{Greedy: [{NOISY}, {CONTRACTED}, {{epochs: 30}}]}}", NAMED,
                   optimizer=", optimizer: Adam"),
    "HessianFree": Kind(2000, 10, "{HessianFree: {curvature_examples: 500}}"),
    "KernelPerceptron": Kind(300, 150, "KernelPerceptron", "[{KernelExpansion: {kernel: linear}}]", "PerceptronLoss"),
    "LBFGS": Kind(4000, 80, "LBFGS"),
    "LeastSquares": Kind(20000, 1, "LeastSquares", "[{RBF: {units: 60, centers: random}}, {Dense: 1}]",
                         "MeanSquaredError"),
    "Newton": Kind(2000, 8, "{Newton: {lowers: loss, damping: [1.0, 0.1, 0.01]}}"),
    "Perceptron": Kind(600, 150, "Perceptron", "[{Dense: 1}]", "PerceptronLoss"),
    "ProximalGradient": Kind(200, 80, "{ProximalGradient: {l1: 1.0e-3, accelerated: true, tolerance: 0.0}}",
                             "[{RBF: {units: 60, centers: random}}, {Dense: 1}]", "MeanSquaredError"),
    "SaddleFreeNewton": Kind(2000, 8, "SaddleFreeNewton"),
}  # fmt: skip
RECIPE = """\
data: {{dataset: {{TwoMoons: {{samples: {samples}, noise: 0.5}}}}, validation_split: {validation}{data}}}
model: {model}
compile: {{loss: {loss}{optimizer}}}
procedure: {procedure}
fit: {{epochs: {epochs}, batch_size: 64}}
deterministic: true
seed: 3
"""


def spawn(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments), "-q"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def modified(state: Path) -> int:
    return state.stat().st_mtime_ns if state.is_file() else 0


def test_every_procedure_without_an_optimizer_is_killed_and_greedy_and_adversarial() -> None:
    without = {name for name in catalogue.known("procedures") if not declarations.uses_optimizer(name)}
    assert KINDS.keys() == without | {"Adversarial", "Greedy"}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_killed_in_the_middle_and_resumed_a_procedure_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    import keras

    import dltool.runs.keras_objects  # noqa: F401  models hold layers of dltool

    recipe, whole, run = tmp_path / "recipe.yaml", tmp_path / "whole", tmp_path / "run"
    recipe.write_text(RECIPE.format(**KINDS[name]._asdict()))
    undisturbed = spawn("train", recipe, "--out", whole)
    assert undisturbed.wait(timeout=300) == 0, undisturbed.stderr.read()  # type: ignore[union-attr]
    generator, state = np.random.default_rng(2), run / "checkpoint" / "state.npz"
    process, kills = spawn("train", recipe, "--out", run), 0
    while kills < KILLS:
        before = modified(state)
        while process.poll() is None and modified(state) == before:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 2 * SECONDS))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        process = spawn("train", run, "--resume")
    assert process.wait(timeout=300) == 0, process.stderr.read()  # type: ignore[union-attr]
    assert kills > 0 or name == "LeastSquares", "training was too short to be killed"  # one pass, saved at its end
    assert history(run) == history(whole) and len(history(run)) == KINDS[name].epochs
    ours, theirs = arrays(run), arrays(whole)
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not np.array_equal(ours[key], theirs[key])] == []
    models = [keras.models.load_model(one / "model.keras").get_weights() for one in (run, whole)]
    assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))

"""What no procedure can do something sensible with is refused or said in one line; numbers that are none end with 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.recipe import catalogue, declarations
from tests.command_line import Done, run

LAST = {"KernelPerceptron": "KernelExpansion"}
LOSSES = {"Perceptron": "PerceptronLoss", "KernelPerceptron": "PerceptronLoss", "LeastSquares": "MeanSquaredError",
          "ProximalGradient": "MeanSquaredError"}  # fmt: skip
LINEAR = tuple(LOSSES)  # fit the last layer, features being those of inference
ARGUMENTS = {"ProximalGradient": "{ProximalGradient: {l1: 0.01}}"}
PROCEDURES = [name for name in catalogue.known("procedures") if not declarations.uses_optimizer(name)]
NAN = "{Rescaling: 1.0e+30}, {Rescaling: 1.0e+30}, {Rescaling: 0.0}, "  # infinity times 0, in float32
RECIPE = """\
data:
  dataset: {TwoMoons: {samples: 20}}
model: [FIRST{Dense: 1}]
compile: {loss: LOSS}
procedure: PROCEDURE
fit:
  epochs: 1
"""


def train(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], first: str = "", more: str = "", data: str = ""
) -> tuple[Done, Path]:
    """Train two moons by a procedure, with other layers before the last one, more under `fit` and under `data`."""
    text = RECIPE.replace("FIRST", first).replace("LOSS", LOSSES.get(name, "{BinaryCrossentropy: {from_logits: true}}"))
    text = text.replace("{Dense: 1}", LAST.get(name, "{Dense: 1}")).replace("PROCEDURE", ARGUMENTS.get(name, name))
    path = folder / "r.yaml"
    path.write_text(text.replace("model:", f"{data}model:") + more)
    return run(capsys, "train", path, "--out", folder / "run"), path


def test_every_procedure_without_an_optimizer_is_found() -> None:
    assert {*LINEAR, "BFGS", "ConjugateGradient", "HessianFree", "LBFGS", "Newton", "SaddleFreeNewton"} <= set(
        PROCEDURES
    )


@pytest.mark.parametrize("name", [pytest.param(one, marks=[] if one in ("LBFGS", "Perceptron") else pytest.mark.slow)
                                  for one in PROCEDURES])  # fmt: skip
class TestEachProcedure:
    def test_numbers_that_are_none_end_with_exit_4(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done, _ = train(name, tmp_path, capsys, NAN)
        assert done.status == 4 and "loss became NaN at step" in done.err and "Check the scale of data" in done.err

    @pytest.mark.parametrize(
        ("layer", "problem"),
        [
            ("{Dropout: 0.5}, ", "layer 'dropout' (Dropout) draws random numbers"),
            ("BatchNormalization, ", "layer 'batch_normalization' (BatchNormalization) normalises by the batch"),
        ],
    )
    def test_a_layer_that_it_cannot_follow_is_named(
        self, layer: str, problem: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done, path = train(name, tmp_path, capsys, layer)
        assert problem in done.err
        if name in LINEAR:
            assert done.status == 0 and f"{name} computes features as at inference, although in training " in done.err
        else:
            assert done.status == 2 and f"{path}:5:12: procedure.{name}: " in done.err

    def test_settings_that_it_cannot_follow_are_refused_at_their_line(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if name not in ("Perceptron", "KernelPerceptron"):
            done, path = train(name, tmp_path, capsys, more="  batch_size: 4\n  steps_per_epoch: 2\n")
            assert done.status == 2 and f"{path}:9:3: fit.steps_per_epoch: an epoch of {name} " in done.err
        done, path = train(name, tmp_path, capsys, data="  augment: [{GaussianNoise: 0.1}]\n")
        assert done.status == 2 and f"{path}:3:3: data.augment: " in done.err and name in done.err
        if name in LINEAR:
            done, path = train(name, tmp_path, capsys, more="  class_weight: balanced\n")
            assert done.status == 2 and f"{path}:8:3: fit.class_weight: {name} " in done.err
        assert not (tmp_path / "run" / "model.keras").exists()

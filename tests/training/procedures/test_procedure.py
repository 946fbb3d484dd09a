"""What every procedure shares, shown by one of own Python that takes no optimizer: a random walk downhill."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dltool.recipe import declarations
from tests.command_line import run

WALK = '''
"""A random walk that keeps a step if the loss falls."""

import numpy as np

from dltool import Procedure

USES_OPTIMIZER = False


class RandomWalk(Procedure):
    """One random step an epoch.

    Args:
        scale: standard deviation of a step.
        enough: the loss at which training ends.
    """

    def __init__(self, scale=0.3, enough=0.0):
        self.scale, self.enough, self.best = scale, enough, float("inf")

    def _steps_of_epoch(self, train, asked):
        return 1

    def _columns(self):
        return {"kept": self.kept}

    def own_arrays(self):
        return {"best": np.asarray(self.best)}

    def go_on(self, arrays):
        self.best = float(arrays["best"])

    def _advance(self, at_most):
        before = self.model.get_weights()
        random = np.random.default_rng([self._seed, self.position.total_steps])
        self.model.set_weights([w + self.scale * random.normal(size=w.shape) for w in before])
        loss = self.evaluation.run(self._train)["loss"]
        self.kept = int(loss < self.best)
        if not self.kept:
            self.model.set_weights(before)
        self.best = min(loss, self.best)
        self.model.stop_training = self.best <= self.enough
        for x, y in self._train.batches():
            self.model.test_step((x, y))
        self._count(1)
        return self.best
'''
RECIPE = """
data: {dataset: Line, test_split: 0}
model: [{Dense: 1}]
compile: {loss: MeanSquaredError}
fit: {epochs: 6, batch_size: 30}
procedure: {RandomWalk: {scale: 2}}
seed: 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("walk.py").write_text(WALK, encoding="utf-8")
    Path("walk.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def rows(run_directory: str) -> list[dict[str, str]]:
    with Path(run_directory, "history.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_procedure_without_an_optimizer_trains_resumes_to_the_same_and_keeps_its_own_columns(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = ("--plugin", "walk.py")
    assert run(capsys, "train", "walk.yaml", "--out", "whole", *plugin).status == 0
    assert run(capsys, "train", "walk.yaml", "fit.epochs=2", "--out", "parts", *plugin).status == 0
    done = run(capsys, "train", "parts", "fit.epochs=6", "--resume", "--accept-changes", *plugin)
    assert done.status == 0, done.err
    whole = rows("whole")
    assert rows("parts") == whole
    losses = [float(row["loss"]) for row in whole]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert [int(row["kept"]) for row in whole[1:]] == [int(b < a) for a, b in zip(losses, losses[1:], strict=False)]
    assert "learning_rate" not in whole[0]
    assert json.loads(Path("whole", "metrics.json").read_text(encoding="utf-8"))["train"]["loss"] == losses[-1]
    stopped = f"procedure.RandomWalk.enough={losses[2] + 1e-6}"
    assert run(capsys, "train", "walk.yaml", stopped, "--out", "early", *plugin).status == 0
    assert rows("early") == whole[: 1 + next(i for i, loss in enumerate(losses) if loss <= losses[2])]


def test_an_optimizer_that_a_procedure_does_not_use_is_refused_and_has_no_schedule(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = run(capsys, "train", "walk.yaml", "compile.optimizer=Adam", "--out", "x", "--plugin", "walk.py")
    assert refused.status == 2
    assert "compile.optimizer: means nothing to the procedure RandomWalk. Remove it." in refused.err
    missing = run(capsys, "train", "walk.yaml", "procedure=GradientDescent", "--out", "x")
    assert missing.status == 2 and "compile.optimizer: is missing" in missing.err
    plan = run(capsys, "lr-schedule", "walk.yaml", "--plugin", "walk.py")
    assert plan.status == 2 and "the recipe's procedure RandomWalk has no learning rate" in plan.err
    assert declarations.uses_optimizer("Stages") and declarations.uses_optimizer(None)

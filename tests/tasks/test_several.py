"""Several targets: each is judged by its own task, and only by one that judges an array of outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest

from dltool.tasks import base
from dltool.tasks._arrays import ArrayTask
from dltool.tasks.base import Judgement, Split


class Halves(ArrayTask):
    """A task of own Python with a figure of its own."""

    targets = "halves"

    def judge_outputs(self, evaluated: Any) -> Judgement:
        judgement = super().judge_outputs(evaluated)
        return replace(judgement, figures=judgement.figures | {"half": float(evaluated.outputs.mean() / 2)})


@dataclass
class TwoTargets:
    """The part of a run's data that judging reads: one batch."""

    x: np.ndarray

    def pipeline(self, name: str, batch_size: int) -> Any:
        return self

    def batches(self) -> Any:
        ones = np.ones(len(self.x), "float32")
        return iter([(self.x, {"a": ones, "b": ones})])

    def origins(self, name: str) -> Any:
        return "row", range(len(self.x))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    monkeypatch.setattr(base, "elsewhere", lambda: {"halves": lambda: Halves})
    base.find.cache_clear()
    x = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1, name=name)(x) for name in ("a", "b")}
    model = keras.Model(x, outputs)
    model.compile("sgd", {"a": "mse", "b": "mse"})
    return model


def test_a_target_is_judged_by_its_own_task(model: keras.Model) -> None:
    facts = {"targets": {"a": {"task": "halves"}, "b": {"task": "regression", "num_targets": 1}}}
    x = np.ones((3, 2), "float32")
    judgement = base.of(facts).judge(model, Split(TwoTargets(x), "test", 3, "run", "test", facts))
    given = model.predict(x, verbose=0)
    assert judgement.figures["a_half"] == pytest.approx(given["a"].mean() / 2)
    assert judgement.figures["b_mae"] == pytest.approx(np.abs(given["b"] - 1).mean())
    assert "b_half" not in judgement.figures
    average = base.of(facts).average([judgement, judgement])
    assert average is not None and average.figures["a_half"] == pytest.approx(judgement.figures["a_half"])


def test_a_target_whose_task_judges_no_array_is_refused_before_training(model: keras.Model) -> None:
    facts = {"targets": {"a": {"task": "segmentation", "num_classes": 2}, "b": {"task": "regression"}}}
    assert base.of(facts).problems_of_outputs(model, facts) == {
        "a": "answers masks, which can't be one of several targets: give them alone."
    }

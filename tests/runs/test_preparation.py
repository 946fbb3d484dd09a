"""One preparation: a model does not depend on what was built before; callbacks that do not fit it are refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.errors import RecipeError, UsageError
from dltool.recipe import build, reading
from dltool.runs import opened
from dltool.runs.callback_checks import CallbackChecks
from dltool.runs.preparation import Preparation, prepare
from tests.command_line import write_quick

CALLBACKS = """\
  callbacks:
    - EarlyStopping: {monitor: val_acuracy, mode: max}
    - ReduceLROnPlateau
    - ModelCheckpoint: {filepath: "best-{epoch}-{val_f1}.keras", monitor: nothing}
    - TerminateOnNaN
    - ActivationPercentiles: dense_7
"""
RATE = "{CosineDecay: {initial_learning_rate: 0.01, decay_steps: 9}}"


@pytest.fixture
def prepared(tmp_path: Path) -> Preparation:
    return prepare(str(write_quick(tmp_path)), [f"compile.optimizer.Adam.learning_rate={RATE}"], device="cpu")


def test_a_model_is_the_same_whatever_was_built_before(prepared: Preparation) -> None:
    keras.layers.Dense(3).build((None, 4))
    again, other = (Preparation(prepared.recipe, prepared.data, seed) for seed in (None, 7))
    assert (again.seed, other.seed) == (1, 7)
    assert [layer.name for layer in again.model.layers] == [layer.name for layer in prepared.model.layers]
    for first, same, different in zip(*(one.model.get_weights() for one in (prepared, again, other)), strict=True):
        np.testing.assert_array_equal(first, same)
        assert first.ndim == 1 or (first != different).any()


def test_callbacks_that_do_not_fit_are_reported_together_at_their_lines(prepared: Preparation, tmp_path: Path) -> None:
    text = Path(prepared.recipe.file).read_text().partition("fit:")[0] + "fit:\n" + CALLBACKS
    (tmp_path / "c.yaml").write_text(text)
    recipe = reading.load(tmp_path / "c.yaml")
    first = text[: text.index("    - Early")].count("\n") + 1
    prepared.recipe = recipe
    with pytest.raises(RecipeError) as raised:
        CallbackChecks(prepared).check(build.callbacks(recipe, tmp_path))
    found = [(problem.place.line, problem.path, problem.message[:42]) for problem in raised.value.problems]
    assert found == [
        (first, "fit.callbacks[0].EarlyStopping", "monitors 'val_acuracy', which is not measu"),
        (first + 1, "fit.callbacks[1].ReduceLROnPlateau", "changes a learning rate that is a number; "),
        (first + 2, "fit.callbacks[2].ModelCheckpoint", found[2][2]),
        (first + 4, "fit.callbacks[4].ActivationPercentiles", found[3][2]),
    ]
    assert "val_f1" in found[2][2] and "dense_7" in found[3][2]
    assert "Did you mean 'val_accuracy'?" in raised.value.problems[0].message


def test_a_recipe_s_file_is_found_by_file_name_or_run(tmp_path: Path) -> None:
    path = write_quick(tmp_path)
    assert opened.recipe_file(str(path)) == path
    assert opened.recipe_file("cnn/lenet5").parts[-3:] == ("recipes", "cnn", "lenet5.yaml")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.yaml").write_text(path.read_text())
    assert opened.recipe_file(tmp_path / "run") == tmp_path / "run/recipe.yaml"
    with pytest.raises(UsageError, match="no such recipe"):
        opened.recipe_file("cnn/lenet55")

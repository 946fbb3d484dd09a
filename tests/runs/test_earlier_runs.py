"""Runs of dltool before its modules moved (at commit 8a933d4) open, give their figures and go on.

`earlier/digits` holds an image net with dltool's own layers, `earlier/words` a translation model with its vocabulary;
the figures are those that `dltool eval RUN --format json` printed then.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import pytest

from tests.command_line import run

FIGURES = {
    "digits": {"loss": 1.0813009738, "accuracy": 0.6555555463, "macro_f1": 0.6574563651},
    "words": {"loss": 4.2312211990, "token_accuracy": 0.0148148146, "perplexity": 67.0030212, "chrf": 3.5560812306},
}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Path(__file__).with_name("earlier"), tmp_path / "earlier"))


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_are_those_of_then(name: str, earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", str(earlier / name), "--format", "json")
    assert done.status == 0, done.err
    figures = json.loads(done.out)["scores"][0]
    for key, value in FIGURES[name].items():
        assert figures[key] == pytest.approx(value, rel=1e-4), key


@pytest.mark.parametrize("name", FIGURES)
def test_training_goes_on_from_the_state_of_then(name: str, earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", str(earlier / name), "fit.epochs=3", "--resume", "--accept-changes", "-q")
    assert done.status == 0, done.err
    rows = (earlier / name / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize("name", FIGURES)
def test_the_saved_model_opens_in_keras(name: str, earlier: Path) -> None:
    import dltool.runs.keras_objects  # noqa: F401

    assert keras.models.load_model(earlier / name / "model.keras").count_params() > 100

"""--mc-dropout: eval and predict answer alike, and the same again; runs without dropout are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.command_line import QUICK, run, trained, write_quick

EARLIER = Path(__file__).parents[1] / "runs/earlier"  # runs of digits and of translations, without dropout
SIZE = ("--batch-size", 120)  # batches decide the masks


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dropout")
    text = QUICK.replace("  - Flatten\n", "  - Flatten\n  - Dropout: 0.3\n")
    trained(write_quick(folder, "dropping.yaml", text), "--out", folder / "run")
    return folder / "run"


def probabilities(path: Path) -> np.ndarray:
    return pd.read_csv(path).filter(like="probability_").to_numpy()


def test_eval_and_predict_give_the_mean_of_the_same_passes(
    dropping: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dltool.runs.opened import OpenedRun

    files = {}
    for name, passes in (("plain", ()), ("first", ("--mc-dropout", 20)), ("again", ("--mc-dropout", 20))):
        files[name] = tmp_path / f"{name}.csv"
        done = run(capsys, "eval", dropping, *passes, *SIZE, "--predictions", files[name], "--format", "json")
        assert done.status == 0, done.err
        (row,) = json.loads(done.out)["scores"]
        assert row.get("dropout_passes") == (20 if passes else None)
    assert files["first"].read_text() == files["again"].read_text()
    plain, mean = probabilities(files["plain"]), probabilities(files["first"])
    assert 0.01 < np.abs(plain - mean).max() < 0.6
    true = pd.read_csv(files["first"])["target"].to_numpy()
    assert row["loss"] == pytest.approx(-np.log(mean[np.arange(len(true)), true]).mean(), rel=1e-4)
    images = np.concatenate([x.numpy() for x, _ in OpenedRun(dropping).data.pipeline("test", 512).batches()])
    np.savez(tmp_path / "new.npz", x=images)
    done = run(capsys, "predict", dropping, tmp_path / "new.npz", "--mc-dropout", 20, *SIZE, "--probabilities")
    assert done.status == 0, done.err
    (tmp_path / "predicted.csv").write_text(done.out)
    np.testing.assert_allclose(probabilities(tmp_path / "predicted.csv"), mean, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("digits", "digits/model.keras: it has no dropout layer whose rate is above 0. Leave it out."),
        ("words", "--mc-dropout: means nothing for translation"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "predict"])
def test_runs_that_drop_nothing_out_are_refused(
    command: str, name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "new.npz", x=np.zeros((1, 8, 8, 1)))
    (tmp_path / "new.txt").write_text("seven\n")
    given = [] if command == "eval" else [tmp_path / ("new.npz" if name == "digits" else "new.txt")]
    done = run(capsys, command, EARLIER / name, *given, "--mc-dropout", 5)
    assert (done.status, done.out) == (2, "") and line in done.err and done.err.count("\n") == 1

"""lsuv: the run directory that it writes is one that training starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.cli import lsuv
from dltool.errors import UsageError
from dltool.runs.preparation import prepare
from tests.command_line import QUICK, run, text_of, write_quick

STILL = QUICK.replace("{Adam: {learning_rate: 5e-3}}", "{SGD: {learning_rate: 0.0}}").replace(
    "fit: {epochs: 2, batch_size: 64}", "fit: {epochs: 2, batch_size: 64, callbacks: [CSVLogger: log.csv]}"
)


@pytest.fixture
def repair(tmp_path: Path) -> Callable[..., list[dict]]:
    def repaired(source: object, **options: Any) -> list[dict]:
        options = {"out": tmp_path / "start", "form": "json", "device": "cpu", **options}
        return json.loads(text_of(lsuv.lsuv, str(source), **options))["lsuv"]

    return repaired


def weights(path: Path) -> list[np.ndarray]:
    return keras.models.load_model(path / "model.keras").get_weights()


def test_training_starts_from_the_repaired_weights(tmp_path: Path, repair: Callable, capsys: Any) -> None:
    """With a rate of zero training ends with the weights that it began with."""
    path = tmp_path / "start"
    rows = repair(write_quick(tmp_path, text=STILL))
    assert [row["variance_after"] for row in rows] == pytest.approx([1, 1], abs=0.01)
    assert [row["variance_fresh"] for row in rows] == pytest.approx([1, 1], abs=0.2)
    repaired = weights(path)
    fresh = prepare(str(path / "recipe.yaml"), device="cpu").model.get_weights()
    assert not np.allclose(repaired[0], fresh[0])
    assert run(capsys, "train", path, "--resume", "-q").status == 0
    assert all(np.array_equal(a, b) for a, b in zip(repaired, weights(path), strict=True))
    assert len((path / "history.csv").read_text().splitlines()) == 3
    assert len((path / "log.csv").read_text().splitlines()) == 3


def test_it_learns_from_there(tmp_path: Path, repair: Callable, capsys: Any) -> None:
    repair(write_quick(tmp_path, text=QUICK.replace("epochs: 2", "epochs: 12")))
    assert run(capsys, "train", tmp_path / "start", "--resume", "-q").status == 0
    assert json.loads((tmp_path / "start" / "metrics.json").read_text())["test"]["accuracy"] > 0.8


def test_unselected_layers_keep_their_initialisation(tmp_path: Path, repair: Callable) -> None:
    source = write_quick(tmp_path)
    (row,) = repair(source, layers=["dense_1"])
    assert row["layer"] == "dense_1"
    fresh = prepare(str(source), device="cpu").model.get_weights()
    same = [np.array_equal(a, b) for a, b in zip(fresh, weights(tmp_path / "start"), strict=True)]
    assert same == [True, True, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["conv*"]}, "--layers: no layer with a kernel matches 'conv"),
        ({"tolerance": 0.0}, "--tolerance"),
    ],
)
def test_what_cannot_work_writes_nothing(tmp_path: Path, options: dict, message: str, repair: Callable) -> None:
    with pytest.raises(UsageError, match=message):
        repair(write_quick(tmp_path), **options)
    assert not (tmp_path / "start").exists()


def test_it_replaces_a_run_only_when_told_and_takes_no_run_as_its_source(tmp_path: Path, repair: Callable) -> None:
    source = write_quick(tmp_path)
    repair(source)
    with pytest.raises(UsageError, match="exists already"):
        repair(source)
    repair(source, overwrite=True)
    with pytest.raises(UsageError, match="trained weights would be lost"):
        repair(tmp_path / "start", out=tmp_path / "other")

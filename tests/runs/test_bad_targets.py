"""What cannot be read is found before a run is replaced; a trained model outlasts what cannot be evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.recipe import kept_facts
from tests.command_line import run, trained
from tests.shapes import shapes, write

RECIPE = """\
data: {dataset: {ImageMasks: {path: shapes, classes: [ground, disc, square, edge], void: edge}}}
model: [Conv2D: {filters: 3, kernel_size: 1}]
compile: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true, ignore_class: "${data.void}"}}}
fit: {epochs: 1, batch_size: 4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("targets")
    for part, count in (("train", 8), ("val", 2), ("test", 2)):
        write(path / "shapes", *shapes(count), (f"images/{part}", f"masks/{part}"))
    (path / "r.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        trained("r.yaml", "--out", "run")
    return path


def again(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    done = run(capsys, "train", "r.yaml", "--out", "run", "--overwrite", "-q", *more)
    return done.status, done.err


def test_a_bad_mask_of_any_split_is_found_before_the_old_run_goes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    for part in ("train", "val", "test"):
        mask = Path("shapes/masks") / part / "001.png"
        right = mask.read_bytes()
        for pixels, said in ((np.full((24, 24), 9), "the value 9 in row 0, column 0"), (np.zeros((20, 20)), "20 x 20")):
            Image.fromarray(pixels.astype(np.uint8)).save(mask)
            status, err = again(capsys)
            assert status == 5 and f"{mask} is" in err and said in err and "replacing" not in err
        mask.write_bytes(right)
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_masks_that_were_right_are_read_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dltool.library.datasets.image_masks import ImageMasks

    monkeypatch.chdir(folder)
    monkeypatch.setenv(kept_facts.SWITCH, "on")
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path))
    monkeypatch.setattr(kept_facts, "RECENT", -1.0)
    looked: list[str] = []
    monkeypatch.setattr(ImageMasks, "wrong_target", lambda self, part: looked.append(part))
    for _ in range(2):
        done = run(capsys, "train", "r.yaml", "--out", "twice", "--overwrite", "-q")
        assert done.status == 0, done.err
    assert looked == ["train", "validation", "test"]


def test_a_trained_model_outlasts_what_cannot_be_evaluated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    image = Path("shapes/images/test/001.png")
    right = image.read_bytes()
    image.write_bytes(right[:90])
    status, err = again(capsys)
    assert status == 5 and f"{image} is no readable image" in err
    assert "run: is trained and saved, but could not be evaluated" in err
    assert "finish with: dltool train run --resume" in err
    assert Path("run/model.keras").is_file() and not Path("run/metrics.json").exists()
    image.write_bytes(right)
    done = run(capsys, "train", "run", "--resume", "-q")
    assert done.status == 0, done.err
    assert json.loads(Path("run/metrics.json").read_text())["test"]["loss"] > 0

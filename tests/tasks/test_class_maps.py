"""predict --map: the table, the arrays and the picture of a classifier that slides over larger images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import softmax

from dltool.runs.opened import OpenedRun
from tests.command_line import run, trained, write_quick

RECIPE = """\
# A classifier of crops of digits.
data: {dataset: Digits}
model:
  - Rescaling: 0.0625
  - Conv2D: {filters: 8, kernel_size: 3, activation: relu}
  - MaxPooling2D: 2
  - Flatten
  - Dense: 10
compile: {optimizer: {Adam: 0.01}, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 2, batch_size: 64}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps")
    trained(write_quick(path, text=RECIPE), "--out", path / "net")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (20, 26)), ("b.png", (11, 8)), ("small.png", (7, 30))):
        Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(path / name)
    return path


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_maps_are_the_probabilities_of_crops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "predict", "net", "a.png", "b.png", "--map", "--out", "maps")
    assert done.status == 0, done.err
    table = pd.read_csv(io.StringIO(done.out), dtype={"prediction": str})
    assert [*table] == ["file", "prediction", "probability", "row", "column", "map"]
    model = OpenedRun(folder / "net").model
    for _, answer in table.iterrows():
        pixels = np.asarray(Image.open(answer["file"]), np.float32)[..., None] * 16 / 255  # black and white of Digits
        held = np.load(answer["map"])
        found = held["probabilities"]
        assert (held["window"].tolist(), held["stride"].tolist()) == ([8, 8], [2, 2])
        down, across = (pixels.shape[0] - 8) // 2 + 1, (pixels.shape[1] - 8) // 2 + 1
        assert found.shape[2] == 10
        crops = [pixels[2 * r : 2 * r + 8, 2 * c : 2 * c + 8] for r in range(down) for c in range(across)]
        expected = softmax(model.predict(np.stack(crops), verbose=0), axis=-1).reshape(down, across, 10)
        np.testing.assert_allclose(found[:down, :across], expected, atol=1e-5)
        r, c, best = np.unravel_index(found.argmax(), found.shape)
        assert (answer["prediction"], answer["row"], answer["column"]) == (str(best), 2 * r + 3.5, 2 * c + 3.5)
        assert answer["probability"] == pytest.approx(found.max(), abs=1e-6)
        assert Path(answer["map"]).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_arrays_are_slid_over_and_nothing_is_written_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("new.npy", np.random.default_rng(1).uniform(0, 16, (2, 12, 10, 1)))
    before = set(Path().iterdir())
    done = run(capsys, "predict", "net", "new.npy", "--map")
    assert done.status == 0, done.err
    assert done.out.splitlines()[0] == "row,prediction,probability,row,column"
    assert set(Path().iterdir()) == before


def test_files_that_are_there_stay_without_overwrite(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("predict", "net", "b.png", "--map", "--out", "again")
    assert run(capsys, *arguments).status == 0
    done = run(capsys, *arguments)
    assert done.status == 2
    assert "exists already. Use --overwrite" in done.err
    assert run(capsys, *arguments, "--overwrite").status == 0
    Path("again/b.npz").write_bytes(b"mine")
    done = run(capsys, *arguments, "--overwrite")
    assert done.status == 2
    assert Path("again/b.npz").read_bytes() == b"mine"


def test_a_small_picture_is_left_out_and_the_others_have_maps(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "predict", "net", "a.png", "small.png", "b.png", "--map")
    assert done.status == 5
    assert [line.split(",")[0] for line in done.out.splitlines()] == ["file", "a.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("net", "small.png", "--map"), 5, "small.png: is 7 x 30 pixels, smaller than the 8 x 8"),
        (("net", "net", "a.png", "--map"), 2, "--map: takes one run"),
        (("net", "a.png", "--map", "--top", "2"), 2, "--top: means nothing with --map"),
        (("net", "a.png", "--map", "--out", "b.png/maps"), 2, "--out b.png/maps: b.png is a file, no folder"),
        (("net", "a.png", "--out", "x"), 2, "--out: means nothing for classification"),
    ],
)
def test_what_has_no_map_is_refused(
    arguments: tuple[str, ...], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "predict", *arguments)
    assert done.status == status
    assert message in done.err

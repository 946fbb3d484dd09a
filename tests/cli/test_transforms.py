"""Where a spatial transformer looks: `plot --what transforms` and `predict --explain` against the layer's formula."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dltool.output.plots import transforms
from dltool.runs.opened import OpenedRun
from tests.command_line import run, trained, write_quick

RECIPE = """\
# A net that chooses what to look at.
data: {dataset: Digits}
model:
  - Rescaling: 0.0625
  - SpatialTransformer: {size: [6, 5], localisation: [Flatten, {Dense: {units: 8, activation: relu}}]}
  - Flatten
  - Dense: 10
compile: {optimizer: {Adam: 0.01}, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1, batch_size: 128}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transforms")
    trained(write_quick(path, text=RECIPE), "--out", path / "net")
    return path


@pytest.fixture(scope="module")
def examples(folder: Path) -> np.ndarray:
    x, _ = next(iter(OpenedRun(folder / "net").data.pipeline("test", 8).batches()))
    return np.asarray(x, np.float32)


@pytest.fixture(scope="module")
def thetas(folder: Path, examples: np.ndarray) -> np.ndarray:
    """The parameters of each example by the weights that training kept, in NumPy, (examples, 2, 3)."""
    weights = [np.asarray(one) for one in OpenedRun(folder / "net").model.get_weights()]
    hidden = np.maximum(examples.reshape(8, -1) / 16 @ weights[0] + weights[1], 0)
    return (hidden @ weights[2] + weights[3]).reshape(8, 2, 3)


def test_the_outline_is_where_the_transformation_reads(
    folder: Path, examples: np.ndarray, thetas: np.ndarray, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawn: list[Any] = []
    plot = transforms.plot_transforms
    monkeypatch.setattr(transforms, "plot_transforms", lambda runs, *rest: (drawn.extend(runs), plot(runs, *rest)))
    out = folder / "seen.png"
    done = run(capsys, "plot", folder / "net", "--what", "transforms", "--out", out, "--format", "json")
    assert done.status == 0, done.err
    assert out.read_bytes().startswith(b"\x89PNG")
    (looks,) = drawn
    np.testing.assert_allclose(looks.images, examples / 16)
    assert looks.seen.shape == (8, 6, 5, 1)
    corner = thetas @ np.array([1 / 5 - 1, 1 / 6 - 1, 1])  # (x, y) of the middle of the first pixel of 6 x 5
    expected = (corner[:, ::-1] + 1) * 4 - 0.5  # pixels of 8 x 8
    np.testing.assert_allclose(looks.outlines[:, 0], expected, atol=1e-4)
    np.testing.assert_array_equal(looks.outlines[:, 0], looks.outlines[:, -1])
    assert looks.outlines.shape[1] == 2 * (6 + 5) - 3  # each pixel of the border once, the first one again
    first = json.loads(done.out)["plotted"][0]
    middle = thetas[0] @ np.array([0, 0, 1])
    assert first["column"] == pytest.approx((middle[0] + 1) * 4 - 0.5, abs=1e-4)
    assert first["row"] == pytest.approx((middle[1] + 1) * 4 - 0.5, abs=1e-4)
    area = abs(np.linalg.det(thetas[0, :, :2])) * 64 / 30  # pixels of the image for each of the output
    assert first["scale"] == pytest.approx(area**0.5, rel=1e-4)
    assert first["turn"] == pytest.approx(np.degrees(np.arctan2(thetas[0, 1, 0], thetas[0, 0, 0])), abs=1e-3)


def test_predict_explains_by_columns(
    folder: Path, examples: np.ndarray, thetas: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "new.npy", examples)
    plain = run(capsys, "predict", folder / "net", folder / "new.npy", "--batch-size", 3)
    done = run(capsys, "predict", folder / "net", folder / "new.npy", "--batch-size", 3, "--explain")
    assert done.status == 0, done.err
    table = pd.read_csv(io.StringIO(done.out))
    columns = [name for name in table if name.startswith("spatial_sampling")]
    assert [name[-9:] for name in columns] == [f"_theta_{row}{column}" for row in (1, 2) for column in (1, 2, 3)]
    np.testing.assert_allclose(table[columns], thetas.reshape(8, 6), atol=1e-5)
    answers = pd.read_csv(io.StringIO(plain.out))
    pd.testing.assert_frame_equal(table[answers.columns], answers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "net", "net", "new.npy", "--explain"), "--explain: takes one run"),
        (("predict", "plain", "new.npy", "--explain"), "--explain: no layer of the model explains itself"),
        (("plot", "plain", "--what", "transforms", "--out", "x.png"), "for models with a SpatialTransformer"),
        (("plot", "net", "--what", "transforms", "--layer", "dense", "--out", "x.png"), "has no such SpatialSampling"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    folder: Path, examples: np.ndarray, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    np.save("new.npy", examples)
    if not Path("plain").exists():
        trained(write_quick(folder, "plain.yaml"), "fit.epochs=1", "--out", folder / "plain")
    done = run(capsys, *arguments)
    assert done.status == 2
    assert message in done.err

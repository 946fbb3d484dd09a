"""dltool plot: what it draws is what the runs hold, by NumPy; what does not go together is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.library.datasets.digits import Digits
from dltool.library.datasets.line import Line
from dltool.library.datasets.two_moons import TwoMoons
from dltool.output.plots import boundary, codes, curve, inputs, loss, trajectory, weights
from dltool.runs import plots
from tests.command_line import Done, run, trained, write_quick

LINE = """\
# A line.
data: {dataset: Line, test_split: 0.2}
model: [{Dense: {units: 1, kernel_initializer: {Constant: 5}, bias_initializer: {Constant: 10}}}]
compile: {optimizer: {SGD: {learning_rate: 0.005}}, loss: MeanSquaredError}
fit: {epochs: 2, batch_size: 1, callbacks: [WeightTrajectory]}
"""
MOONS = """\
# A linear classifier of two moons.
data: {dataset: TwoMoons}
model: [{Dense: 2}]
compile: {optimizer: {SGD: {learning_rate: 0.5}}, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 2, batch_size: 100}
"""
IMAGES = """\
# A linear classifier of standardised digits.
data: {dataset: Digits}
model: [{Normalization: {axis: null}}, Flatten, {Dense: 10}]
compile: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1, batch_size: 512}
"""
CODES = """\
# An autoencoder of digits whose code has two numbers.
data: {dataset: Digits, targets: inputs}
model: [{Rescaling: 0.0625}, Flatten, {Dense: {units: 2, name: code}}, {Dense: 64}, {Reshape: "${data.input_shape}"}]
compile: {optimizer: adam, loss: MeanSquaredError}
fit: {epochs: 1, batch_size: 512}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    for name, text in (("line", LINE), ("moons", MOONS), ("images", IMAGES), ("codes", CODES)):
        trained(write_quick(folder, f"{name}.yaml", text), "--out", folder / name)
    shutil.copytree(folder / "line", folder / "twin")
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the drawing functions are given, which draw all the same."""
    seen: list[Any] = []
    for module, name in ((trajectory, "plot_trajectories"), (curve, "plot_curves"), (boundary, "plot_regions"),
                         (weights, "plot_weights"), (loss, "plot_losses"), (inputs, "plot_rows"),
                         (codes, "plot_codes")):  # fmt: skip
        draw = getattr(module, name)

        def watched(runs: Any, *rest: Any, draw: Any = draw) -> None:
            seen.extend(runs)
            draw(runs, *rest)

        monkeypatch.setattr(module, name, watched)
    return seen


def plot(
    capsys: pytest.CaptureFixture[str], folder: Path, what: str, *more: Any, runs: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the rows that are printed; the picture is there."""
    out = folder / f"{what}.png"
    out.unlink(missing_ok=True)
    paths = [folder / name for name in runs]
    done = run(capsys, "plot", *paths, "--what", what, "--out", out, "--format", "json", *more)
    assert done.status == 0, done.err
    assert out.read_bytes().startswith(b"\x89PNG")
    found: list[dict[str, Any]] = json.loads(done.out)["plotted"]
    return found


def weights_of(run_directory: Path) -> list[Any]:
    return [*json.loads((run_directory / "metrics.json").read_text())["weights"].values()]


def training_points(run_directory: Path) -> tuple[np.ndarray, np.ndarray]:
    from dltool.runs.opened import OpenedRun

    indices = OpenedRun(run_directory).data.splits["train"].indices()
    examples = Line().read("train")
    return examples.x[indices, 0], examples.y[indices]


def test_a_trajectory_goes_over_the_loss_by_numpy(
    home: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dltool.runs.plots.trajectory.PLACES", 15)
    (row, _) = plot(capsys, home, "trajectory", runs=("line", "twin"))
    first, second = drawn
    assert (first.title, second.title) == ("line", "twin")
    assert first.axes == ("dense/bias", "dense/kernel")
    x, y = training_points(home / "line")
    residuals = first.up[:, None, None] * x + first.across[None, :, None] - y
    np.testing.assert_allclose(first.surface, (residuals**2).mean(axis=-1), rtol=1e-4)
    ends = first.points[:, 1:] * x + first.points[:, :1] - y
    np.testing.assert_allclose(first.losses, (ends**2).mean(axis=1), rtol=1e-4)
    assert [*first.points[0]] == [10, 5] and [*first.steps[:3]] == [0, 1, 2]
    np.testing.assert_array_equal(first.across, second.across)  # the same loss on the same axes
    assert np.ptp(first.across) == pytest.approx(np.ptp(first.up)), "so that round contours look round"
    ((kernel,),), (bias,) = weights_of(home / "line")
    assert row["dense/kernel last"] == pytest.approx(kernel) and row["dense/bias last"] == pytest.approx(bias)
    plot(capsys, home, "trajectory", "--weights", "dense/kernel, dense/bias", runs=("line",))
    np.testing.assert_array_equal(drawn[2].points, first.points[:, ::-1])


def test_a_curve_is_the_models_line_and_its_errors(
    home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = plot(capsys, home, "curve", runs=("line",))
    ((kernel,),), (bias,) = weights_of(home / "line")
    np.testing.assert_allclose(drawn[0].y, kernel * drawn[0].x + bias, rtol=1e-5)
    x, y = training_points(home / "line")
    assert row["train_points"] == 24 and row["test_points"] == 6
    assert row["train_rmse"] == pytest.approx(np.sqrt(np.mean((kernel * x + bias - y) ** 2)), rel=1e-4)
    np.testing.assert_array_equal(drawn[0].data["train"][0], x)


def test_regions_are_those_of_the_larger_logit(
    home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = plot(capsys, home, "boundary", runs=("moons",))
    kernel, bias = map(np.array, weights_of(home / "moons"))
    plane = np.stack(np.meshgrid(drawn[0].across, drawn[0].up), axis=-1)
    np.testing.assert_array_equal(drawn[0].answers, (plane.astype(np.float32) @ kernel + bias).argmax(axis=-1))
    examples = TwoMoons().read("train")
    wrong = int(((examples.x @ kernel + bias).argmax(axis=1) != examples.y).sum())
    assert row == {"run": str(home / "moons"), "points": 200, "wrong": wrong}


def test_weights_and_their_norms(home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = plot(capsys, home, "weights", "--layer", "dense", runs=("moons",))
    kernel, _ = map(np.array, weights_of(home / "moons"))
    np.testing.assert_allclose(drawn[0].kernel, kernel)
    assert row["zeros"] == 0 and row["norm"] == pytest.approx(np.linalg.norm(kernel))


def test_losses_are_those_of_the_histories(home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    plot(capsys, home, "loss", "--over", "step", runs=("line", "moons"))
    for index, name in enumerate(("line", "moons")):
        with (home / name / "history.csv").open() as file:
            rows = [*csv.DictReader(file)]
        assert drawn[index].training == [float(row["loss"]) for row in rows]
        assert drawn[index].x == [float(row["step"]) for row in rows]


def test_inputs_are_images_before_and_behind_the_layer(
    home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = plot(capsys, home, "inputs", runs=("images",))
    (_, stored), (title, behind) = drawn
    from dltool.runs.opened import OpenedRun

    x = Digits().read("train").x[OpenedRun(home / "images").data.splits["train"].indices()].astype(np.float64)
    np.testing.assert_array_equal(stored, x[:8])
    np.testing.assert_allclose(behind, (x[:8] - x.mean()) / x.std(), rtol=1e-4, atol=1e-4)
    assert title == "images: normalization" and row["layer"] == "normalization"


def test_codes_are_the_layers_outputs_beside_principal_components(
    home: Path, drawn: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Components and nearest neighbours by scikit-learn, the code by NumPy."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    from dltool.runs.opened import OpenedRun

    rows = plot(capsys, home, "codes", runs=("codes",))
    opened, stored = OpenedRun(home / "codes"), Digits().read("train")
    train, test = (opened.data.splits[name].indices() for name in ("train", "test"))
    x, flat = stored.x[test], stored.x.reshape(len(stored.x), -1)
    kernel, bias = opened.model.get_layer("code").get_weights()
    np.testing.assert_allclose(drawn[0].places, x.reshape(len(x), -1) / 16 @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(drawn[0].labels, stored.y[test])
    components = PCA(2, svd_solver="full").fit(flat[train]).transform(flat[test])
    np.testing.assert_allclose(np.abs(drawn[1].places), np.abs(components), rtol=1e-6, atol=1e-6)  # up to their signs
    for row, panel in zip(rows, drawn, strict=True):
        nearest = KNeighborsClassifier(1).fit(panel.places, panel.labels).kneighbors(return_distance=False)[:, 0]
        assert row["nearest_agree"] == pytest.approx(np.mean(panel.labels == panel.labels[nearest]))
    assert [row["codes"] for row in rows] == ["code", "principal components"] and rows[0]["examples"] == len(test)


def refused(capsys: pytest.CaptureFixture[str], home: Path, *arguments: Any) -> Done:
    done = run(capsys, "plot", *arguments, "--out", home / "none.png")
    assert not (home / "none.png").exists()
    return done


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("line", ["curv"], "--what curv: no such picture. Did you mean 'curve'?"),
        ("line", ["curve", "--layer", "dense"], "--layer: means nothing for --what curve. It goes with --what "),
        ("line", ["loss", "--over", "steps"], "--over steps: must be one of epoch, step, seconds."),
        ("line", ["loss", "--figure", "los"], "has none. Did you mean 'loss'?"),
        ("line", ["trajectory", "--weights", "dense/bias"], "must be two names with a comma between, across and up."),
        ("line", ["trajectory", "--weights", "dense/bias,dense/kern"], "has no path of it. Did you mean"),
        ("line", ["boundary"], "--what boundary is for models of two inputs; its examples have the shape"),
        ("line", ["inputs"], "--what inputs is for images; its examples have the shape (1,)."),
        ("images", ["codes"], "no layer of its model gives two numbers an example. Name one: --layer."),
        ("images", ["codes", "--layer", "dense"], "is for two numbers an example; 'dense' gives (10,)."),
        ("line", ["codes", "--layer", "dense"], "--what codes colours classes, and its data have none."),
        ("moons", ["curve"], "--what curve is for models of one input; its examples have the shape"),
        ("moons", ["trajectory"], "trajectory.csv: is missing. Add WeightTrajectory to the recipe's fit.callbacks"),
        ("moons", ["weights", "--layer", "dens"], "has no such layer with a matrix. Did you mean 'dense'?"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    name: str, arguments: list[str], line: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = refused(capsys, home, home / name, "--what", *arguments)
    assert done.status in (2, 5) and line in done.err
    assert "Traceback" not in done.err


def test_the_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "plot", "--help").out
    assert {"trajectory", "boundary", "codes", "curve", "weights", "loss", "inputs"} <= plots.kinds().keys()
    assert all(f"{kind}:" in text for kind in plots.kinds())

"""dltool plot --what cone and gradients: geometry by brute force, gradients by TensorFlow, kinds of critical points."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.errors import UsageError
from dltool.library.datasets.outlier import Outlier
from dltool.runs import plots
from dltool.runs.opened import OpenedRun
from dltool.runs.plots import _linear, cone, gradients
from tests.command_line import run, trained


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    trained("classics/perceptron-cone", "--out", folder / "cone")
    trained("classics/misclassified", "fit.epochs=1", "--out", folder / "wrong")
    return folder


def outlier() -> tuple[np.ndarray, np.ndarray]:
    """Features with a constant one, and targets."""
    examples = Outlier().read("train")
    return np.column_stack([examples.x, np.ones(len(examples))]).astype(np.float64), examples.y.astype(np.float64)


def plotted(capsys: pytest.CaptureFixture[str], path: Path, what: str) -> dict[str, Any]:
    """The row that is printed; the picture is there."""
    out = path.parent / f"{what}.png"
    done = run(capsys, "plot", path, "--what", what, "--out", out, "--format", "json", "--overwrite")
    assert done.status == 0, done.err
    assert out.read_bytes().startswith(b"\x89PNG")
    return dict(json.loads(done.out)["plotted"][0])


@pytest.mark.parametrize("seed", range(8))
def test_the_cone_is_where_every_scalar_product_is_positive(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(3, 2)) + [1.5, 0.0]
    first, last = cone.find_cone(points)
    angles = np.radians(np.arange(0, 360, 0.05))
    right = (np.stack([np.cos(angles), np.sin(angles)], axis=1) @ points.T > 0).all(axis=1)
    assert np.degrees(last - first) == pytest.approx(right.mean() * 360, abs=0.11)
    if right.any():
        middle = (first + last) / 2
        assert (points @ [np.cos(middle), np.sin(middle)] > 0).all()


def test_points_all_around_have_no_cone() -> None:
    first, last = cone.find_cone(np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]]))
    assert first == last


def test_the_slides_two_samples_leave_a_cone_that_holds_the_perceptron(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # (0.5, 2) at atan(4) = 75.96 degrees leaves -14.04 to 165.96; -(2, 0.5) at 194.04 leaves 104.04 to 284.04
    row = plotted(capsys, home / "cone", "cone")
    assert row["degrees"] == pytest.approx(165.964 - 104.036, abs=0.01) and row["inside"] is True


@pytest.mark.parametrize(
    ("loss", "twin", "half"),
    [
        (gradients.SQUARED, keras.losses.MeanSquaredError(), 0.5),
        (gradients.CROSS, keras.losses.BinaryCrossentropy(), 1),
    ],
)
@pytest.mark.parametrize("weights", [(0.3, -0.2), (-1.5, 0.4)])
def test_gradients_and_curvatures_are_tensorflows(
    loss: str, twin: Any, half: float, weights: tuple[float, float]
) -> None:
    features, targets = outlier()
    variable = tf.Variable(weights, dtype=tf.float64)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            outputs = tf.sigmoid(tf.linalg.matvec(tf.constant(features), variable))
            value = half * tf.cast(twin(targets[:, None], outputs[:, None]), tf.float64)
        first = inner.gradient(value, variable)
    second = outer.jacobian(first, variable)
    at = np.array(weights)
    assert float(gradients.loss_at(at[None], features, targets, loss)[0]) == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(gradients.gradient(at, features, targets, loss), first, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(gradients.hessian(at, features, targets, loss), second, rtol=1e-3, atol=1e-6)


def test_squared_error_has_a_saddle_and_cross_entropy_one_minimum() -> None:
    features, targets = outlier()
    squared = gradients.find_critical_points(features, targets, gradients.SQUARED, 6.0)
    (point,) = [point for point, kind in squared if kind == "saddle"]
    eigenvalues = np.linalg.eigvalsh(gradients.hessian(point, features, targets, gradients.SQUARED))
    assert eigenvalues[0] < 0 < eigenvalues[1]
    crossed = gradients.find_critical_points(features, targets, gradients.CROSS, 6.0)
    assert [kind for _, kind in crossed] == ["minimum"]


def test_the_worst_sample_hardly_moves_weights_by_squared_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The slide: the gradients differ by the factor q (1 - q), q = sigmoid(score)."""
    row = plotted(capsys, home / "wrong", "gradients")
    q = 1 / (1 + np.exp(-row["score"]))
    assert row["squared_error_gradient"] == pytest.approx(row["cross_entropy_gradient"] * q * (1 - q), rel=1e-6)
    assert row["cross_entropy_gradient"] > 1 and row["squared_error_gradient"] < 1e-3
    assert row["squared_error_saddles"] == 1 and row["cross_entropy_saddles"] == 0


def test_runs_of_other_models_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained("classics/adaline-analytic", "--out", tmp_path / "line")
    refused = run(capsys, "plot", tmp_path / "line", "--what", "gradients", "--out", tmp_path / "x.png")
    assert refused.status == 2 and "is for two classes and models that end in a Dense layer of one unit" in refused.err
    with pytest.raises(UsageError, match=r"models of two weights, the bias counted\. It has 3"):
        three = _linear.LinearClassifier(np.ones((2, 3)), np.ones(2), np.ones(3), ["w1", "w2", "b"])
        monkeypatch.setattr(_linear, "read", lambda *_: three)
        cone.draw([OpenedRun(home / "cone")], plots.Options(), io.BytesIO(), "png")

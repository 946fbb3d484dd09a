"""dltool plot --what activations: functions and derivatives of trained layers against their formulas in NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.output.plots import activations
from tests.command_line import QUICK, run, trained, write_quick

LAYERS = """\
  - Dense: {units: 8, activation: sigmoid, name: first}
  - Dense: {units: 6, activation: linear}
  - PReLU: {name: learned}
  - ScaledTanh: {name: scaled}
  - Dense: 4
  - ELU: {alpha: 0.5, name: exponential}
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("activations")
    text = QUICK.replace("  - Dense: {units: 16, activation: relu}\n", LAYERS)
    trained(write_quick(folder, text=text), "fit.epochs=1", "--out", folder / "net")
    return folder / "net"


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def expected(layer: str, z: np.ndarray, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if layer == "first":
        return sigmoid(z), sigmoid(z) * sigmoid(-z)
    if layer == "scaled":
        return 1.7159 * np.tanh(2 * z / 3), 1.7159 * 2 / 3 / np.cosh(2 * z / 3) ** 2
    if layer == "exponential":
        return np.where(z > 0, z, 0.5 * np.expm1(z)), np.where(z > 0, 1, 0.5 * np.exp(z))
    return np.where(z > 0, z, alphas * z), np.where(z > 0, 1, alphas)


def test_functions_and_derivatives_are_those_of_their_formulas(
    net: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dltool.runs.opened import OpenedRun

    drawn: list[Any] = []
    plot = activations.plot_activations
    monkeypatch.setattr(activations, "plot_activations", lambda runs, *rest: (drawn.extend(runs), plot(runs, *rest)))
    learned = OpenedRun(net).model.get_layer("learned").get_weights()[0]
    assert np.ptp(learned) > 0, "each unit has its own slope"
    for layer in (None, "learned", "scaled", "exponential"):
        chosen = () if layer is None else ("--layer", layer)
        out = net.parent / f"{layer}.png"
        done = run(capsys, "plot", net, "--what", "activations", *chosen, "--out", out, "--format", "json")
        assert done.status == 0, done.err
        assert out.read_bytes().startswith(b"\x89PNG")
        (row,) = json.loads(done.out)["plotted"]
        assert row["layer"] == (layer or "first"), "the first of them all by default"
        z = drawn[-1].z[:, np.newaxis].astype(np.float64)
        off = np.abs(z[:, 0]) > 1e-6  # where the derivative jumps, it is a matter of definition
        values, slopes = expected(row["layer"], z, learned)
        for found, by_formula in ((drawn[-1].values, values), (drawn[-1].slopes[off], slopes[off])):
            np.testing.assert_allclose(found, np.broadcast_to(by_formula, found.shape), atol=1e-5)
        assert row["f(1)"] == pytest.approx(expected(row["layer"], np.ones((1, 1)), learned)[0].mean(), abs=1e-5)
        assert row["f'(-4)"] == pytest.approx(expected(row["layer"], -4 * np.ones((1, 1)), learned)[1].mean(), abs=1e-5)
    assert drawn[2].name == "scaled: ScaledTanh" and row["f(-1)"] < 0


def test_lecuns_function_is_1_at_1_and_minus_1_at_minus_1(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slide 89."""
    arguments = ("--layer", "scaled", "--out", net.parent / "one.svg", "--format", "json")
    (row,) = json.loads(run(capsys, "plot", net, "--what", "activations", *arguments).out)["plotted"]
    assert [row["f(-1)"], row["f(0)"], row["f(1)"]] == pytest.approx([-1, 0, 1], abs=1e-4)


@pytest.mark.parametrize("layer", ["dense_1", "learnt"])
def test_a_layer_without_an_activation_is_refused(layer: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = net.parent / "none.png"
    done = run(capsys, "plot", net, "--what", "activations", "--layer", layer, "--out", out)
    assert done.status == 2 and "has no such layer with an activation." in done.err and done.err.count("\n") == 1
    assert not out.exists()


def test_an_own_activation_layer_has_a_saturated_share() -> None:
    """1.7159 tanh(2z/3): outputs beyond 0.9 of the way to an asymptote."""
    from dltool.init_stats.saturation import saturated_share
    from dltool.library.layers.scaled_tanh import ScaledTanh

    outputs = 1.7159 * np.array([[-0.95, -0.85, 0.0, 0.85, 0.91]])
    assert saturated_share(ScaledTanh().call, outputs) == pytest.approx(0.4)

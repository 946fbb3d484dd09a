"""Repeat: a block of layers several times in a row, each copy with weights of its own."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.errors import RecipeError
from dltool.graph.layer_tree import parts
from dltool.library.layers.repeat import Repeat
from dltool.recipe import build, reading
from dltool.recipe.reading import Recipe
from dltool.recipe.values import from_text
from tests.command_line import run

DIGITS = {"input_shape": (8, 8, 1), "num_classes": 10}
DEEP = """\
# A deep net for tests.
data: {dataset: Digits, validation_split: 0.1}
model:
  - Flatten
  - Repeat:
      layers:
        - Dense: {units: 16, kernel_initializer: he_normal}
        - BatchNormalization
        - Activation: relu
      times: 5
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 2, batch_size: 128}
"""


def wired(wiring: Repeat, *behind: keras.layers.Layer) -> keras.Model:
    """A model of four inputs."""
    y = wiring(x := keras.Input((4,)))
    for layer in behind:
        y = layer(y)
    return keras.Model(x, y)


def model_of(layers: str) -> keras.Model:
    """The model of a recipe whose layers begin at line 4."""
    text = f"data: {{dataset: Digits}}\ncompile: {{optimizer: adam, loss: mse}}\nmodel:\n{layers}\n"
    loaded = Recipe(from_text(text, "r.yaml"), "r.yaml", "")
    build.check(loaded)
    return build.model(loaded, DIGITS, lambda: None)


def test_equals_the_product_of_its_copies_in_numpy() -> None:
    block = [keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(4)]
    model = wired(Repeat(block, 3))
    x = np.random.default_rng(0).normal(size=(5, 4))
    expected = x
    weights = model.get_weights()
    assert len(weights) == 12
    for first, bias, second, other in (weights[i : i + 4] for i in range(0, 12, 4)):
        expected = np.tanh(expected @ first + bias) @ second + other
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_copies_have_weights_of_their_own_and_names_in_turn() -> None:
    keras.utils.clear_session(free_memory=False)
    block = [keras.layers.Dense(4), keras.layers.Activation("relu"), keras.layers.Dense(4, name="out")]
    model = wired(Repeat(block, 3), keras.layers.Dense(1))
    names = [layer.name for layer in model.layers[1:]]
    assert names == ["dense_1", "activation_1", "out_1", "dense_2", "activation_2", "out_2", "dense_3", "activation_3", "out_3", "dense_4"]  # fmt: skip # noqa: E501
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")][:-1]
    assert len(kernels) == 6
    assert all(not np.array_equal(a, b) for i, a in enumerate(kernels) for b in kernels[:i])


def test_repeats_nest_and_stand_beside_each_other() -> None:
    inner = Repeat(keras.layers.Dense(4), 2)
    x = keras.Input((4,))
    model = keras.Model(x, Repeat([keras.layers.Dense(4)], 2)(Repeat([inner], 3)(x)))
    assert len(model.weights) == 2 * (3 * 2 + 2)
    assert len({weight.path for weight in model.weights}) == 16


@pytest.mark.parametrize("block", ["[{Dense: 4}]", "[{Residual: [{Dense: 8}]}]"])
def test_layers_stand_in_the_model_itself(block: str) -> None:
    """Whether a block holds wirings or not: no model within the model, and each layer once."""
    model = model_of(f"  - Flatten\n  - Dense: 8\n  - Repeat: {{times: 3, layers: {block}}}\n  - Dense: 2")
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) == 5
    assert all("/" not in part.path for part in parts(model))


def test_two_layers_of_one_name_are_told_at_the_model(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"r.yaml:3:1: model: .*used 2 times"):
        model_of("  - Flatten\n" + "  - Repeat: {times: 2, layers: [{Dense: {units: 4, name: hidden}}]}\n" * 2)


def test_a_saved_model_is_loaded_by_keras_alone(tmp_path: Path) -> None:
    model = wired(Repeat([keras.layers.Dense(4, activation="gelu")], 3))
    model.save(tmp_path / "m.keras")
    assert '"module": "dltool' not in model.to_json()
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("times", [0, -1, 2.0, True, "3"])
def test_times_must_be_a_positive_int(times: object) -> None:
    with pytest.raises(ValueError, match=r"'times' must be an int >= 1\. Got "):
        Repeat([keras.layers.Dense(4)], times)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("Repeat: {times: 3, layers: [Flatten, {Conv2D: {filters: 3, kernel_size: 3}}]}",
            "4:42: model[0].Repeat.layers[1].Conv2D: Input 0 with name"),
        ("Repeat: {times: 2, layers: [{Repeat: {times: 2, layers: [{Conv2D: {filters: 3, kernel_size: 3}}]}}]}",
            "4:62: model[0].Repeat.layers[0].Repeat.layers[0].Conv2D: Computed output size would be zero or negative"),
        ("Repeat: {times: 2, layers: [{Dens: 3}]}",
            "4:34: model[0].Repeat.layers[0]: no layer named 'Dens'. Did you mean 'Dense'?"),
        ("Repeat: {times: 2, layers: [{Dense: {unit: 3}}]}",
            "4:42: model[0].Repeat.layers[0].Dense: no argument 'unit'. Did you mean 'units'?"),
        ("Repeat: {times: 2, layers: []}",
            "4:5: model[0].Repeat: 'layers' must hold at least one layer. Got an empty list."),
        ("Repeat: {times: 2, layers: [Normalization]}",
            "4:5: model[0].Repeat: Normalization is adapted to the data, which a repeated layer can't be."),
        ("Repeat: [Flatten]", "4:5: model[0].Repeat: missing argument 'times'"),
    ],
)  # fmt: skip
def test_an_error_inside_names_the_place_of_the_inner_layer(layer: str, line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        model_of(f"  - {layer}")
    assert str(caught.value).startswith(f"r.yaml:{line}")


def test_an_override_and_an_extending_recipe_reach_inside(tmp_path: Path) -> None:
    base = tmp_path / "deep.yaml"
    base.write_text(DEEP)
    changed = reading.load(base, ["model.1.Repeat.times=7", "model[1].Repeat.layers[0].Dense.units=3"])
    model = build.model(changed, DIGITS, lambda: None)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [3] * 7 + [10]
    extending = tmp_path / "deeper.yaml"
    extending.write_text("# Deeper.\nextends: deep.yaml\nfit: {epochs: 3}\n")
    again = reading.load(extending, ["model.1.Repeat.times=2"])
    assert build.model(again, DIGITS, lambda: None).count_params() == 64 * 16 + 16 + 272 + 2 * 4 * 16 + 170


def test_a_trained_run_is_evaluated_and_its_recipe_runs_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(DEEP)
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(capsys, "train", path, "--out", first, "-q").status == 0
    assert run(capsys, "train", first / "recipe.yaml", "--out", second, "-q").status == 0
    assert (first / "recipe.yaml").read_text() == (second / "recipe.yaml").read_text()
    scores = [run(capsys, "eval", out, "--format", "csv").out.splitlines() for out in (first, second)]
    assert len(scores[0]) == 2
    assert scores[0][1].split(",")[1:] == scores[1][1].split(",")[1:]

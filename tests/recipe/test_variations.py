"""Variations of a recipe: what each option changes, what it leaves alone, and how combinations are named."""

from __future__ import annotations

from typing import Any

import pytest

from dltool.errors import UsageError
from dltool.recipe import build, reading, variations
from dltool.recipe.reading import Recipe
from dltool.recipe.values import from_text

FACTS = {"input_shape": (8, 8, 1), "num_classes": 10}
MLP = """
  - Flatten
  - Dense: {units: 32, activation: relu, kernel_initializer: he_normal}
  - Dropout: 0.1
  - Dense: {units: 16, activation: relu}
  - Dense: {units: "${data.num_classes}", activation: softmax}
"""
REPEATED = """
  - Flatten
  - Dense: 32
  - Repeat: {layers: [{Dense: {units: 32, name: inner}}, {Activation: relu}], times: 4}
  - Dense: ${data.num_classes}
"""
CONVOLUTIONAL = """
  - Conv2D: {filters: 8, kernel_size: 3, use_bias: false}
  - BatchNormalization: {momentum: 0.9}
  - ReLU
  - SeparableConv2D: {filters: 8, kernel_size: 3, activation: tanh}
  - DepthwiseConv2D: 3
  - LeakyReLU: {negative_slope: 0.1, name: leak}
  - Flatten
  - Dense: ${data.num_classes}
"""
RECURRENT = """
  - Reshape: {target_shape: [8, 8]}
  - TimeDistributed: {layer: {Dense: {units: 6, activation: relu}}}
  - Bidirectional: {layer: {LSTM: 5}}
  - Dense: ${data.num_classes}
"""


def recipe_of(layers: str) -> Recipe:
    text = f"data: {{dataset: Digits}}\ncompile: {{optimizer: adam, loss: mse}}\nmodel:{layers}"
    root = from_text(text, "r.yaml")
    assert reading.check(root) == []
    return Recipe(root, "r.yaml", "")


def models(layers: str, **options: Any) -> dict[str, list[Any]]:
    """Label -> the varied model as plain values; each is also built by Keras."""
    found = {}
    for label, varied in variations.of(recipe_of(layers), **options):
        build.check(varied)
        build.model(varied, FACTS, lambda: None)
        found[label] = varied.plain()["model"]
    return found


def only(layers: str, **options: Any) -> list[Any]:
    (model,) = models(layers, **options).values()
    return model


# -- entries and labels --------------------------------------------------------------------------------


def test_entries_are_split_at_commas_outside_of_brackets_and_quotes() -> None:
    text = "he_normal, 'VarianceScaling: {scale: 0.333, mode: fan_in}',Orthogonal: [1, (2, 3)] ,x"
    assert variations.split(text) == [
        "he_normal",
        "'VarianceScaling: {scale: 0.333, mode: fan_in}'",
        "Orthogonal: [1, (2, 3)]",
        "x",
    ]
    assert variations.split("VarianceScaling: {scale: 1, mode: fan_in}") == [
        "VarianceScaling: {scale: 1, mode: fan_in}"
    ]


def test_without_options_the_recipe_itself_is_the_only_one() -> None:
    given = recipe_of(MLP)
    assert variations.of(given) == [("r", given)]


def test_options_combine_in_order_and_labels_name_each_entry() -> None:
    found = models(REPEATED, compare=["he_normal,zeros"], depths=["2", "3"], widths=[4], batch_norm=["with"])
    assert list(found) == [
        "he_normal, with batch norm, depth 2, width 4",
        "he_normal, with batch norm, depth 3, width 4",
        "zeros, with batch norm, depth 2, width 4",
        "zeros, with batch norm, depth 3, width 4",
    ]
    assert found["zeros, with batch norm, depth 3, width 4"] == [
        "Flatten",
        {"Dense": {"units": 4, "kernel_initializer": "zeros"}},
        {
            "Repeat": {
                "layers": [
                    {"Dense": {"units": 4, "name": "inner", "kernel_initializer": "zeros"}},
                    "BatchNormalization",
                    {"Activation": "relu"},
                ],
                "times": 3,
            }
        },
        {"Dense": {"units": "${data.num_classes}", "kernel_initializer": "zeros"}},
    ]


def test_the_given_recipe_is_not_changed() -> None:
    given = recipe_of(REPEATED)
    before = given.plain()
    variations.of(given, compare=["zeros"], activations=["tanh"], batch_norm=["with"], depths=[2], widths=[4])
    assert given.plain() == before


# -- initialisers --------------------------------------------------------------------------------------


def test_an_initialiser_is_set_in_every_kernel_and_in_nothing_else() -> None:
    assert only(MLP, compare=["orthogonal"]) == [
        "Flatten",
        {"Dense": {"units": 32, "activation": "relu", "kernel_initializer": "orthogonal"}},
        {"Dropout": 0.1},
        {"Dense": {"units": 16, "activation": "relu", "kernel_initializer": "orthogonal"}},
        {"Dense": {"units": "${data.num_classes}", "activation": "softmax", "kernel_initializer": "orthogonal"}},
    ]


def test_an_initialiser_reaches_depthwise_and_wrapped_layers_but_no_recurrent_kernel() -> None:
    kernel = {"kernel_initializer": "he_normal"}
    assert only(RECURRENT, compare=["he_normal"])[1:] == [
        {"TimeDistributed": {"layer": {"Dense": {"units": 6, "activation": "relu"} | kernel}}},
        {"Bidirectional": {"layer": {"LSTM": {"units": 5} | kernel}}},
        {"Dense": {"units": "${data.num_classes}"} | kernel},
    ]
    scaling = "VarianceScaling: {scale: 0.5, mode: fan_in}"
    found = only(CONVOLUTIONAL, compare=[scaling])
    value = {"VarianceScaling": {"scale": 0.5, "mode": "fan_in"}}
    assert found[3]["SeparableConv2D"]["depthwise_initializer"] == value
    assert found[3]["SeparableConv2D"]["pointwise_initializer"] == value
    assert found[4] == {"DepthwiseConv2D": {"kernel_size": 3, "depthwise_initializer": value}}
    assert found[1] == {"BatchNormalization": {"momentum": 0.9}}


# -- activations ---------------------------------------------------------------------------------------


def test_an_activation_replaces_the_hidden_layers_and_not_the_outputs() -> None:
    found = models(MLP, activations=["tanh,selu"])
    assert list(found) == ["tanh", "selu"]
    assert [layer["Dense"].get("activation") for layer in found["selu"] if "Dense" in layer] == [
        "selu",
        "selu",
        "softmax",
    ]


def test_layers_that_are_activations_are_replaced_and_linear_layers_stay_linear() -> None:
    found = only(CONVOLUTIONAL, activations=["LeakyReLU: 0.3"])
    leaky = {"LeakyReLU": 0.3}
    assert found[:6] == [
        {"Conv2D": {"filters": 8, "kernel_size": 3, "use_bias": False}},
        {"BatchNormalization": {"momentum": 0.9}},
        {"Activation": {"activation": leaky}},
        {"SeparableConv2D": {"filters": 8, "kernel_size": 3, "activation": leaky}},
        {"DepthwiseConv2D": 3},
        {"Activation": {"activation": leaky, "name": "leak"}},
    ]
    assert found[7] == {"Dense": "${data.num_classes}"}


def test_a_recurrent_layer_has_another_activation_and_the_same_gates() -> None:
    found = only(RECURRENT, activations=["relu"])
    assert found[2] == {"Bidirectional": {"layer": {"LSTM": {"units": 5, "activation": "relu"}}}}


def test_a_model_that_ends_in_a_repeat_is_hidden_throughout() -> None:
    chain = "\n  - Flatten\n  - Repeat: {layers: [{Dense: {units: 1, activation: sigmoid}}], times: 50}\n"
    found = only(chain, activations=["tanh"], widths=[10])
    assert found[1]["Repeat"]["layers"] == [{"Dense": {"units": 10, "activation": "tanh"}}]


# -- batch normalisation -------------------------------------------------------------------------------


def test_batch_norm_stands_between_a_linear_map_and_its_activation() -> None:
    found = models(MLP, batch_norm=["with,without"])
    assert list(found) == ["with batch norm", "without batch norm"]
    assert found["with batch norm"] == [
        "Flatten",
        {"Dense": {"units": 32, "kernel_initializer": "he_normal"}},
        "BatchNormalization",
        {"Activation": "relu"},
        {"Dropout": 0.1},
        {"Dense": {"units": 16}},
        "BatchNormalization",
        {"Activation": "relu"},
        {"Dense": {"units": "${data.num_classes}", "activation": "softmax"}},
    ]
    assert found["without batch norm"] == recipe_of(MLP).plain()["model"]


def test_batch_norm_is_added_where_missing_and_removed_everywhere_with_the_bias_given_back() -> None:
    found = models(CONVOLUTIONAL, batch_norm=["with", "without"])
    assert found["with batch norm"][:9] == [
        {"Conv2D": {"filters": 8, "kernel_size": 3, "use_bias": False}},
        {"BatchNormalization": {"momentum": 0.9}},
        "ReLU",
        {"SeparableConv2D": {"filters": 8, "kernel_size": 3}},
        "BatchNormalization",
        {"Activation": "tanh"},
        {"DepthwiseConv2D": 3},
        "BatchNormalization",
        {"LeakyReLU": {"negative_slope": 0.1, "name": "leak"}},
    ]
    assert found["without batch norm"][:2] == [{"Conv2D": {"filters": 8, "kernel_size": 3}}, "ReLU"]


# -- depth and width -----------------------------------------------------------------------------------


def test_depth_is_the_times_of_the_outermost_repeats() -> None:
    nested = (
        "\n  - Flatten\n  - Repeat: {times: 2, layers: [{Repeat: {times: 3, layers: [{Dense: 64}]}}]}\n  - Dense: 10\n"
    )
    assert only(nested, depths=[7])[1] == {
        "Repeat": {"times": 7, "layers": [{"Repeat": {"times": 3, "layers": [{"Dense": 64}]}}]}
    }


@pytest.mark.parametrize(
    ("layers", "depth", "expected"),
    [
        ("[Dense: 4, Dense: 8, Dense: 8, Dense: 8, Dense: 10]", 2, [4, 8, 8, 10]),
        ("[Dense: 4, Dense: 8, Dense: 8, Dense: 10]", 5, [4, 8, 8, 8, 8, 8, 10]),
        ("[Dense: 4, Dense: 4, Dense: 8, Dense: 8, Dense: 8, Dense: 10]", 1, [4, 4, 8, 10]),
    ],
)
def test_depth_without_a_repeat_is_the_longest_run_of_equal_layers(
    layers: str, depth: int, expected: list[int]
) -> None:
    assert [layer["Dense"] for layer in only(f" {layers}\n", depths=[depth])] == expected


def test_depth_counts_groups_of_layers_too() -> None:
    assert only(
        " [Flatten, Dropout: 0.2, Dense: 8, Dropout: 0.5, Dense: 8, Dropout: 0.5, Dense: 10]\n", depths=[3]
    ) == [
        "Flatten",
        {"Dropout": 0.2},
        *3 * [{"Dense": 8}, {"Dropout": 0.5}],
        {"Dense": 10},
    ]


def test_width_is_set_in_hidden_layers_whose_number_is_given() -> None:
    layers = "\n  - Conv2D: [3]\n  - Dense: ${data.num_classes}\n  - Dense: 7\n  - GRU: 5\n  - Dense: 10\n"
    varied = variations.of(recipe_of(layers), widths=[64])[0][1].plain()["model"]
    assert varied == [{"Conv2D": [3]}, {"Dense": "${data.num_classes}"}, {"Dense": {"units": 64}}, {"GRU": {"units": 64}}, {"Dense": 10}]  # fmt: skip # noqa: E501
    assert only(RECURRENT, widths=[9])[1:3] == [
        {"TimeDistributed": {"layer": {"Dense": {"units": 9, "activation": "relu"}}}},
        {"Bidirectional": {"layer": {"LSTM": {"units": 9}}}},
    ]


# -- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "options", "line"),
    [
        (MLP, {"compare": ["he_nromal"]},
            "--compare he_nromal: no initializer named 'he_nromal'. Did you mean 'he_normal'?"),
        (MLP, {"compare": ["zeros,HeNromal"]},
            "--compare HeNromal: no initializer named 'HeNromal'. Did you mean 'HeNormal'?"),
        (MLP, {"compare": ["VarianceScaling: {scal: 2}"]},
            "--compare VarianceScaling: {scal: 2}: no argument 'scal'. Did you mean 'scale'?"),
        (MLP, {"compare": ["0.1"]},
            "--compare 0.1: must name one of the initializers, such as HeNormal. Got 0.1."),
        (MLP, {"compare": ["{he_normal"]}, "--compare:1:11: not YAML: "),
        (MLP, {"compare": ["zeros,,ones"]}, "--compare: an entry is empty in 'zeros,,ones'"),
        (MLP, {"compare": ["zeros", "zeros"]}, "--compare: zeros is given twice"),
        (MLP, {"activations": ["rleu"]},
            "--compare-activation rleu: no activation named 'rleu'. Did you mean 'relu'?"),
        (MLP, {"batch_norm": ["on"]}, "--batch-norm: must be with, without or with,without. Got 'on'."),
        (MLP, {"depths": ["0"]}, "r.yaml: --depths: the model has no Repeat and no equal layers in a row to repeat"),
        (REPEATED, {"depths": ["0"]}, "--depths: must be whole numbers >= 1, such as 5,10,30. Got '0'."),
        (REPEATED, {"widths": ["4.5"]}, "--widths: must be whole numbers >= 1, such as 5,10,30. Got '4.5'."),
        (" [Flatten, Dense: 10]\n", {"widths": [4]},
            "r.yaml: --widths: no hidden layer of the model gives its units or filters as a number"),
        (" [Flatten, Dense: 10]\n", {"activations": ["relu"]},
            "r.yaml: --compare-activation: no hidden layer of the model has an activation"),
        (" [Flatten]\n", {"compare": ["zeros"]}, "r.yaml: --compare: no layer of the model has a kernel initialiser"),
        (" [Dense: 4, Dense: 10]\n", {"batch_norm": ["with"]},
            "r.yaml: --batch-norm: no hidden layer of the model is a linear map with an activation after it"),
        (" {ResNet50: {weights: null}}\n", {"depths": [4]},
            "r.yaml: --depths varies a list of layers, and this recipe's model is the architecture ResNet50"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_is_told_in_one_line_that_names_the_option(
    layers: str, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        variations.of(recipe_of(layers), **options)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_values_of_an_option_have_the_option_as_their_place() -> None:
    varied = variations.of(recipe_of(MLP), compare=["Identity"])[0][1]
    places = [value.place.file for _, value in varied.root["model"].walk() if value.data == "Identity"]
    assert places == ["--compare"] * 3


DUAL = {"classics/kernel-perceptron", "classics/kernel-perceptron-circles"}  # coefficients of samples alone
WITHOUT_KERNELS = {*DUAL, "sequences/rnn"}  # whose one layer is a cell of its own


def test_every_bundled_recipe_with_a_list_of_layers_can_be_varied() -> None:
    count = 0
    for name in reading.bundled_names():
        loaded = reading.load(name)
        if not loaded.section("model").is_list or name in WITHOUT_KERNELS:
            continue
        count += 1
        for _, varied in variations.of(loaded, compare=["he_normal", "orthogonal"], batch_norm=["without"]):
            build.check(varied)
    assert count >= 8


WIRED = """
  - Conv2D: {filters: 8, kernel_size: 3, padding: same, activation: relu, name: skip}
  - Conv2D: {filters: 8, kernel_size: 3, padding: same, use_bias: false}
  - BatchNormalization: {name: normed}
  - ReLU: {name: bent}
  - Concatenate: {inputs: [skip, normed, bent]}
  - Flatten
  - Dense: {units: 10, activation: softmax}
"""


def test_batch_norm_keeps_what_wired_layers_read() -> None:
    found = models(WIRED, batch_norm=["with,without"])
    with_norm, without = found["with batch norm"], found["without batch norm"]
    assert with_norm[:3] == [
        {"Conv2D": {"filters": 8, "kernel_size": 3, "padding": "same"}},
        "BatchNormalization",
        {"Activation": {"activation": "relu", "name": "skip"}},  # what is concatenated is normalised
    ]
    assert without[2] == {"Identity": {"name": "normed"}}
    assert without[1] == {"Conv2D": {"filters": 8, "kernel_size": 3, "padding": "same"}}


def test_no_output_of_several_is_hidden() -> None:
    layers = """
  - Flatten
  - Dense: {units: 8, activation: relu, name: joined}
  - Dense: {units: 3, activation: softmax, name: kind}
  - Dense: {units: 1, inputs: joined, name: amount}
"""
    text = f"data: {{dataset: Digits}}\ncompile: {{optimizer: adam, loss: {{kind: mse, amount: mse}}}}\nmodel:{layers}"
    root = from_text(f"{text}outputs: [kind, amount]\n", "r.yaml")
    assert reading.check(root) == []
    options = {"widths": ["5"], "activations": ["tanh"], "batch_norm": ["with"]}
    ((_, varied),) = variations.of(Recipe(root, "r.yaml", ""), **options)
    assert varied.plain()["model"] == [
        "Flatten",
        {"Dense": {"units": 5}},
        "BatchNormalization",
        {"Activation": {"activation": "tanh", "name": "joined"}},
        {"Dense": {"units": 3, "activation": "softmax", "name": "kind"}},
        {"Dense": {"units": 1, "inputs": "joined", "name": "amount"}},
    ]

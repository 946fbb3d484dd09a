"""Wiring: what a recipe's layers read, checked at its lines, all at once and without Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dltool.errors import RecipeError
from dltool.recipe import build, wiring
from dltool.recipe.values import Value, from_text

UNET = """\
data: {dataset: Digits}
model:
  - Conv2D: {filters: 4, kernel_size: 3, padding: same, activation: relu, name: encoder1}
  - MaxPooling2D: 2
  - Conv2D: {filters: 8, kernel_size: 3, padding: same, activation: relu}
  - UpSampling2D: {size: 2, name: up1}
  - Concatenate: {inputs: [encoder1, up1]}
  - Flatten
  - Dense: 10
compile: {optimizer: adam, loss: mse}
"""


def root_of(text: str) -> Value:
    return from_text(text, "r.yaml")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in wiring.check(root_of(text))]


def names(text: str, inputs: list[str], targets: list[str] | None = None) -> list[str]:
    return [str(problem) for problem in wiring.check_names(root_of(text), inputs, targets or [])]


def model(*layers: str, rest: str = "") -> str:
    """A recipe whose layers begin at line 2."""
    return "model:\n" + "".join(f"  - {layer}\n" for layer in layers) + rest


def test_entries_know_what_they_read_and_leave_it_out_of_the_layer() -> None:
    entries = wiring.entries(root_of(UNET)["model"])
    assert [entry.names for entry in entries] == [[], [], [], [], ["encoder1", "up1"], [], []]
    assert entries[4].value.plain() == {"Concatenate": {}}
    assert [entry.name for entry in entries][:4] == ["encoder1", None, None, "up1"]
    assert not entries[3].is_list and entries[4].is_list


def test_a_right_wiring_has_no_problems() -> None:
    assert problems(UNET) == []
    assert names(UNET, ["input"]) == []
    assert wiring.is_wired(root_of(UNET))
    assert not wiring.is_wired(root_of(UNET.replace("inputs: [encoder1, up1]", "axis: -1")))


def test_an_unknown_name_is_reported_with_the_near_one() -> None:
    (line,) = names(UNET.replace("[encoder1,", "[encoder,"), ["input"])
    assert line == (
        "r.yaml:7:28: model[4].Concatenate.inputs: no layer and no input of the data is named 'encoder'. "
        "Did you mean 'encoder1'?"
    )


def test_columns_and_arrays_are_names() -> None:
    text = model("Dense: {units: 8, inputs: age}", "Dense: 1")
    assert names(text, ["age", "income"]) == []
    (line,) = names(text, ["ages", "income"])
    assert "no layer and no input of the data is named 'age'. Did you mean 'ages'?" in line
    (line,) = names(text, ["income"])
    assert line.endswith("is named 'age'. The data give: income.")


def test_a_layer_that_nothing_reads_is_an_error_at_its_line() -> None:
    (line,) = problems(model("Dense: {units: 1, name: a}", "Dense: 2", "Dense: {units: 3, inputs: a}"))
    assert line.startswith(
        "r.yaml:3:5: model[1].Dense: nothing reads this layer, since the next layer names its inputs"
    )
    (line,) = problems(model("Dense: {units: 1, name: a}", "Dense: {units: 3, name: b}", rest="outputs: a"))
    assert line == (
        "r.yaml:3:5: model[1].Dense: nothing reads this layer. Name it in outputs (a), or remove it."
    )  # fmt: skip


def test_a_layer_that_is_read_by_name_and_one_that_is_an_output_are_read() -> None:
    both = ("Dense: {units: 1, name: a}", "Dense: {units: 1, name: b, inputs: input}")
    assert problems(model(*both, "Add: {inputs: [a, b]}")) == []
    assert problems(model(*both, rest="outputs: [b, a]")) == []


def test_a_cycle_is_told_from_a_layer_named_too_early() -> None:
    (line,) = problems(model("Add: {inputs: [input, b], name: a}", "Dense: {units: 1, name: b}"))
    assert line.startswith("r.yaml:2:27: model[0].Add.inputs: 'b' stands further down, at line 3, which reads this one")
    assert "a cycle" in line
    early = model(
        "Dense: {units: 1, name: a}",
        "Add: {inputs: [a, b]}",
        "Dense: {units: 1, inputs: input, name: b}",
        "Add: {inputs: [a, b]}",
    )
    (line,) = [one for one in problems(early) if ".inputs" in one]
    assert line.endswith(
        "'b' stands further down, at line 4, and a layer reads only what stands above it. Move 'b' up."
    )
    (line,) = [one for one in problems(model("Dense: {units: 1, inputs: a, name: a}")) if ".inputs" in one]
    assert line.endswith("'a' reads itself. Name a layer above it.")


def test_two_layers_of_one_name_are_an_error_where_layers_are_wired() -> None:
    (line,) = problems(model("Dense: {units: 1, name: a}", "Dense: {units: 1, name: a}", "Add: {inputs: [a, a]}"))
    assert line.startswith("r.yaml:3:29: model[1].Dense.name: a layer at line 2 is named 'a' too.")


def test_a_layer_named_like_an_input_is_an_error() -> None:
    (line,) = names(model("Dense: {units: 1, name: age, inputs: age}"), ["age"])
    assert line == "r.yaml:2:29: model[0].Dense.name: the data's input is named 'age' too. Give the layer another name."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (model("Dense: {units: 1, inputs: []}"), "model[0].Dense.inputs: is empty"),
        (model("Dense: {units: 1, inputs: [2]}"), "model[0].Dense.inputs: must be names of layers"),
        (model("Dense: {units: 1, name: a}", rest="outputs: [a, a]"), "outputs: names 'a' twice"),
        (model("Dense: {units: 1, name: a}", rest="outputs: []"), "outputs: is empty"),
        ("model: {ResNet50: {}}\noutputs: a\n", "outputs: names layers of a model that is a list of layers"),
    ],
)
def test_ill_formed_wirings(text: str, message: str) -> None:
    (line,) = problems(text)
    assert message in line


TWO = model("Dense: {units: 1, name: a}", "Dense: {units: 3, name: b, inputs: input}", rest="outputs: [a, b]\n")


def test_a_name_that_is_no_text_is_reported_once_at_the_name_and_where_it_is_read() -> None:
    text = model("Dense: {units: 3, name: 3}", "Dense: {units: 4, inputs: 3}")
    assert problems(text) == [
        "r.yaml:2:29: model[0].Dense.name: must be a text. Got 3.",
        "r.yaml:3:31: model[1].Dense.inputs: must be names of layers or of the data's inputs. Got 3.",
    ]
    assert names(text, ["input"]) == []


def test_outputs_are_the_data_s_targets() -> None:
    assert names(TWO, ["input"], ["b", "a"]) == []
    assert names(TWO, ["input"]) == [
        "r.yaml:4:10: outputs: are 2, but the data have one target. Name one output, or data with a target for each."
    ]
    (line,) = names(TWO, ["input"], ["a", "b", "number"])
    assert line == "r.yaml:4:10: outputs: no output for the data's target number. Add it."
    assert [line.split(": ", 2)[2] for line in names(TWO, ["input"], ["a", "c"])] == [
        "the data have no target 'b', but a, c."
    ]
    (line,) = names(TWO.replace("[a, b]", "[a, bb]"), ["input"], ["a", "b"])
    assert line.endswith("no layer is named 'bb'. Did you mean 'b'?")
    (line,) = names(model("Dense: 1"), ["input"], ["a", "b"])
    assert "the data have the targets a, b" in line and "outputs: [a, b] beside model" in line


def test_compile_says_for_each_output_what_it_says() -> None:
    right = "compile: {optimizer: adam, loss: {a: mse, b: mse}, metrics: {b: mae}, loss_weights: {a: 1, b: 0.5}}\n"
    assert problems(TWO + right) == []
    wrong = "compile: {optimizer: adam, loss: {a: mse, c: mse}, metrics: [mae], loss_weights: {a: 1}}\n"
    assert [line.split(": ", 1)[1] for line in problems(TWO + wrong)] == [
        "compile.loss.c: the model has no output 'c'. Outputs: a, b.",
        "compile.loss: has nothing for the output b. Add it.",
        "compile.loss_weights: has nothing for the output b. Add it.",
        "compile.metrics: must be a mapping of outputs where the model has several: {a: ..., b: ...}. Got a list.",
    ]


def test_all_mistakes_come_at_once_with_others_and_without_tensorflow(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(UNET.replace("[encoder1,", "[encoder,").replace("UpSampling2D: {size", "UpSampling2D: {sise"))
    code = (
        "import sys\nfrom dltool.recipe import build\nfrom dltool.errors import RecipeError\n"
        f"try:\n    build.load({str(path)!r})\nexcept RecipeError as error:\n    print(error)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[1] for line in lines] == ["6", "7"]
    assert "no argument 'sise'" in lines[0] and "named 'encoder'" in lines[1]


def test_inputs_inside_a_composite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        UNET.replace("- Flatten\n", "- Residual: {layers: [Dense: {units: 12, inputs: up1}]}\n  - Flatten\n")
    )
    with pytest.raises(RecipeError, match="no argument 'inputs'"):
        build.load(path)

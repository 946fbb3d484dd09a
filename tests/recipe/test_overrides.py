"""Overrides: every form of dotted.key=value, and what is wrong with one told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.errors import Place, RecipeError
from dltool.recipe import overrides, reading
from dltool.recipe.values import from_text

TEXT = """\
data: {dataset: Digits}
model:
  - MaxPooling2D
  - Dense: {units: 10}
  - Dense: 5
compile:
  optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}}
  loss: mse
fit: {epochs: 3, class_weight: {0: 1.0, 1: 2.0}}
"""


def apply(text: str) -> dict:
    return overrides.apply(from_text(TEXT, "r.yaml"), text).plain()


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        overrides.apply(from_text(TEXT, "r.yaml"), text, 3)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("fit.epochs=5", ("fit", "epochs"), 5),
        ("fit.epochs= 5 ", ("fit", "epochs"), 5),
        ("fit.epochs =5", ("fit", "epochs"), 5),
        ("fit.batch_size=8", ("fit", "batch_size"), 8),
        ("fit.callbacks=", ("fit", "callbacks"), None),
        ("seed=1", ("seed",), 1),
        ("select.monitor=val_loss", ("select", "monitor"), "val_loss"),
        ("data.dataset={Csv: {path: a=b.csv}}", ("data", "dataset"), {"Csv": {"path": "a=b.csv"}}),
        ("data.dataset.Npz.path=x.npz", ("data", "dataset"), {"Npz": {"path": "x.npz"}}),
        ("fit.class_weight.1=3", ("fit", "class_weight"), {0: 1.0, 1: 3}),
        ("fit.class_weight.2=3", ("fit", "class_weight"), {0: 1.0, 1: 2.0, 2: 3}),
        ("model.1.Dense.units=64", ("model", 1), {"Dense": {"units": 64}}),
        ("model[1].Dense.units=64", ("model", 1), {"Dense": {"units": 64}}),
        ("model.1.Dense.activation=no", ("model", 1), {"Dense": {"units": 10, "activation": "no"}}),
        ("model.-1.Dense=7", ("model", 2), {"Dense": 7}),
        ("model.3=Flatten", ("model", 3), "Flatten"),
        ("model.3.Dense.units=2", ("model", 3), {"Dense": {"units": 2}}),
        ("model.0.MaxPooling2D.pool_size=3", ("model", 0), {"MaxPooling2D": {"pool_size": 3}}),
        ("model.0.Flatten.data_format=x", ("model", 0), {"Flatten": {"data_format": "x"}}),
        ("model=[Flatten]", ("model",), ["Flatten"]),
        ("compile.optimizer=Adam", ("compile", "optimizer"), "Adam"),
        ("compile.optimizer.SGD.momentum=0", ("compile", "optimizer", "SGD"), {"learning_rate": 0.1, "momentum": 0}),
        ("compile.optimizer.Adam.learning_rate=1e-3", ("compile", "optimizer"), {"Adam": {"learning_rate": 0.001}}),
        ("compile.loss.Huber.delta=2", ("compile", "loss"), {"Huber": {"delta": 2}}),
        ("compile.optimizer.SGD.learning_rate.CosineDecay.decay_steps=9", ("compile", "optimizer", "SGD"),
            {"learning_rate": {"CosineDecay": {"decay_steps": 9}}, "momentum": 0.9}),
    ],
)  # fmt: skip
def test_an_override_sets_its_value_and_leaves_the_rest(text: str, path: tuple, value: object) -> None:
    got = apply(text)
    for key in path:
        got = got[key]
    assert got == value
    assert apply(text)["data"].keys() == {"dataset"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fit.epochs", "3:1: fit.epochs: an override reads dotted.key=value, such as fit.epochs=5"),
        ("=5", "3:1: =5: an override reads dotted.key=value, such as fit.epochs=5"),
        ("fit..epochs=5", "3:1: fit..epochs=5: an override reads dotted.key=value, such as fit.epochs=5"),
        ("fit.=5", "3:1: fit.=5: an override reads dotted.key=value, such as fit.epochs=5"),
        ("fit epochs=5", "3:1: fit epochs=5: an override reads dotted.key=value, such as fit.epochs=5"),
        ("extends=a.yaml", "3:1: extends=a.yaml: extends belongs into a recipe's file"),
        ("fit.epochs=!!str 5", "3:12: fit.epochs=!!str 5: a tag (!!str) is not allowed in recipes. Remove it."),
        ("model=[Dense", "3:13: model=[Dense: not YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence)"),
        ("fit={a: 1, a: 2}", "3:12: fit={a: 1, a: 2}: repeated key, first given at line 1"),
        ("model.4=Flatten", "3:1: model.4=Flatten: model is a list of 3: its index is 0 to 3 (3 appends). Got '4'."),
        ("model.-4=Flatten", "3:1: model.-4=Flatten: model is a list of 3: its index is 0 to 3 (3 appends). Got '-4'."),
        ("model.Dense.units=4",
            "3:1: model.Dense.units=4: model is a list of 3: its index is 0 to 3 (3 appends). Got 'Dense'."),
        ("model.1.units=4", "3:1: model.1.units=4: model[1] is Dense: write model[1].Dense.units=..."),
        ("model.0.pool_size=4",
            "3:1: model.0.pool_size=4: model[0] is MaxPooling2D: write model[0].MaxPooling2D.pool_size=..."),
        ("model.2.Dense.units=4",
            "3:1: model.2.Dense.units=4: model[2].Dense is 5, not a mapping. Give the whole value: model[2].Dense=..."),
        ("compile.optimizer.learning_rate=1", "3:1: compile.optimizer.learning_rate=1: compile.optimizer is SGD: "
            "write compile.optimizer.SGD.learning_rate=..."),
        ("compile.loss.delta=1", "3:1: compile.loss.delta=1: compile.loss is 'mse', not a mapping. "
            "Give the whole value: compile.loss=..."),
        ("fit.epochs.x=1",
            "3:1: fit.epochs.x=1: fit.epochs is 3, not a mapping. Give the whole value: fit.epochs=..."),
    ],
)  # fmt: skip
def test_an_override_that_does_not_fit_is_one_line_with_the_remedy(text: str, line: str) -> None:
    assert refused(text) == f"command line:{line}"


def test_the_remedies_of_overrides_work() -> None:
    assert apply("model[1].Dense.units=4")["model"][1] == {"Dense": {"units": 4}}
    assert apply("model[0].MaxPooling2D.pool_size=4")["model"][0] == {"MaxPooling2D": {"pool_size": 4}}


def test_places_of_an_override_are_its_number_and_the_column_in_it() -> None:
    root = overrides.apply(from_text(TEXT, "r.yaml"), "fit={epochs: [1, x]}", 2)
    assert root["fit"]["epochs"].data[1].place == Place("command line", 2, 18)
    assert root["fit"]["epochs"].key == Place("command line", 2, 6)
    assert root["data"].place == Place("r.yaml", 1, 7)


def test_problems_of_several_overrides_and_of_the_file_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(TEXT + "sede: 1\n")
    with pytest.raises(RecipeError) as caught:
        reading.load("r.yaml", ["fit.epochs=x", "model.9=Flatten", "fit.epoch=1", "nonsense"])
    assert str(caught.value).splitlines() == [
        "command line:1:12: fit.epochs: must be an int >= 1. Got 'x'.",
        "command line:2:1: model.9=Flatten: model is a list of 3: its index is 0 to 3 (3 appends). Got '9'.",
        "command line:3:1: fit.epoch: unknown key. Did you mean 'epochs'?",
        "command line:4:1: nonsense: an override reads dotted.key=value, such as fit.epochs=5",
        "r.yaml:10:1: sede: unknown key. Did you mean 'seed'?",
    ]


def test_overrides_apply_in_turn() -> None:
    root = overrides.apply(from_text(TEXT, "r.yaml"), "compile.optimizer=Adam", 1)
    root = overrides.apply(root, "compile.optimizer.Adam.learning_rate=1", 2)
    assert root["compile"]["optimizer"].plain() == {"Adam": {"learning_rate": 1}}

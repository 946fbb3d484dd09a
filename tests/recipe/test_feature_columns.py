"""Tables with columns of any name: models that train, are saved, and open in plain Keras by the columns' own names."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dltool.recipe import feature_columns, reading
from dltool.runs import train
from tests.command_line import run

NAMES = ["sepal length (cm)", "od280/od315 of wines", "größe", "a%b", " lead", "a:b", "a,b", 'a"b', "日本", "x", "a_b",
         "a\\b", "$x", "dense", "dense_1", "input_layer", "concat", "x_preprocessor", "training", "_", "#", "a b",
         "line\nbreak"]  # fmt: skip
RECIPE = """\
# A net on a table.
data: {dataset: {Csv: {path: table.csv, target: kind, ignore: ['id']}}}
model:
  - FeatureSpace: ${data.features}
  - Dense: {units: 8, activation: relu}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: 0.05}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 1, batch_size: 64}
seed: 1
"""


def test_names_of_layers_are_distinct_and_the_columns_own_where_they_can() -> None:
    names = feature_columns.layer_names(["a b", "a_b", "a/b", "a%b", "x", "größe"])
    assert names == {"a b": "a_b_2", "a_b": "a_b", "a/b": "a_b_3", "a%b": "a_b_4", "x": "x", "größe": "gr__e"}
    assert len(set(feature_columns.layer_names(NAMES).values())) == len(NAMES)


def test_columns_of_any_name_train_and_open_in_plain_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({name: generator.normal(size=120) for name in NAMES})
    frame["a/b"] = generator.choice(["red", "green"], 120)
    frame["kind"] = np.where(frame["größe"] > 0, "big", "small")
    frame.assign(id=range(120)).to_csv("table.csv", index=False)
    Path("r.yaml").write_text(RECIPE)
    train.train(reading.load(Path("r.yaml")), out=Path("run"))
    assert run(capsys, "eval", "run", "--split", "all", "--predictions", "p.csv").err == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, on keys that are no names of layers
        model = keras.models.load_model("run/model.keras")
    assert set(model.input) == {*NAMES, "a/b"}
    x = {name: frame[name].to_numpy() for name in model.input}
    x = {name: values.astype("float32" if name != "a/b" else object)[:, None] for name, values in x.items()}
    outputs = keras.ops.softmax(model({name: keras.ops.convert_to_tensor(values) for name, values in x.items()}))
    expected = pd.read_csv("p.csv").filter(like="probability").to_numpy()
    assert np.asarray(outputs) == pytest.approx(expected, abs=1e-5)
    assert {name: sorted(seen) for name, seen in feature_columns.categories(model).items()} == {"a/b": ["green", "red"]}


def test_crosses_name_columns_as_the_table_does() -> None:
    import keras

    features = {"a b": "string_categorical", "c/d": "integer_categorical"}
    space = feature_columns.feature_space(keras.utils.FeatureSpace, features, crosses=[["a b", "c/d"]])
    assert list(space.crossers) == ["a_b_X_c_d"]
    with pytest.raises(ValueError, match="unknown features"):
        feature_columns.feature_space(keras.utils.FeatureSpace, features, crosses=[["a b", "e"]])
    with pytest.raises(ValueError, match="column 'c/d' holds numbers, and only categories can be crossed"):
        numbers = {"a b": "string_categorical", "c/d": "float"}
        feature_columns.feature_space(keras.utils.FeatureSpace, numbers, crosses=[["a b", "c/d"]])


@pytest.mark.parametrize("name", ["wine", pytest.param("breast_cancer", marks=pytest.mark.slow)])
def test_tables_of_scikit_learn_train_as_as_frame_writes_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sklearn import datasets

    monkeypatch.chdir(tmp_path)
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv("table.csv")  # the index too, a column without a name
    Path("r.yaml").write_text(RECIPE.replace("kind, ignore: ['id']", "target"))
    done = run(capsys, "train", "r.yaml", "fit.epochs=8", "fit.batch_size=16", "--out", "run")
    assert done.status == 0, done.err
    assert "the first column has no name and numbers the rows: it is left out" in done.err
    done = run(capsys, "eval", "run", "--require", "accuracy>=0.9")
    assert done.status == 0, done.err

"""Csv: kinds of columns, filling, classes, and errors with file and line."""

import gzip

import numpy as np
import pandas as pd
import pytest

from dltool.library.datasets.csv import Csv

TABLE = """age,city,rooms,price
30,Metz,2,1.5
40,Paris,3,2.5
50,Metz,2,3.5
"""


def _csv(folder, text=TABLE, name="t.csv", **arguments):
    path = folder / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return Csv(path, **({"target": "price"} | arguments))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_columns_are_told_from_their_values(tmp_path, name):
    dataset = _csv(tmp_path, name=name, categorical=["rooms"])
    assert dataset.task == "regression"
    assert dataset.sizes() == {"train": 3}
    assert dataset.facts() == {
        "features": {"age": "float_normalized", "city": "string_categorical", "rooms": "integer_categorical"},
        "input_columns": ["age", "city", "rooms"],
        "target": "price",
        "num_targets": 1,
    }
    x, y = dataset.read("train").x, dataset.read("train").y
    assert x["age"].dtype == np.float32 and x["age"].tolist() == [30, 40, 50]
    assert x["city"].tolist() == ["Metz", "Paris", "Metz"]
    assert x["rooms"].dtype == np.int64 and x["rooms"].tolist() == [2, 3, 2]
    assert y.dtype == np.float32 and y.tolist() == [1.5, 2.5, 3.5]


def test_columns_feed_a_keras_feature_space(tmp_path):
    import keras
    import tensorflow as tf

    dataset = _csv(tmp_path, categorical=["rooms"])
    x = dataset.read("train").x
    assert tf.constant(x["city"]).dtype == tf.string
    space = keras.utils.FeatureSpace(dataset.facts()["features"], output_mode="concat")
    space.adapt(tf.data.Dataset.from_tensor_slices(dict(x)))
    assert np.isfinite(space(dict(x)).numpy()).all()


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a", "b"], "classification", ["a", "b"]),
        (["True", "False", "True"], "classification", ["False", "True"]),
        ([10, 2, 10], "classification", [2, 10]),  # in the order of numbers, not of text
        (["2.0", "3.5", "2.0"], "regression", None),
        (list(range(21)), "regression", None),
        (list(range(20)), "classification", list(range(20))),
    ],
)
def test_the_task_is_told_from_the_target(tmp_path, values, task, classes):
    dataset = _csv(tmp_path, "x,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)), target="y")
    assert dataset.task == task
    if classes:
        facts = dataset.facts()
        assert facts["classes"] == classes and facts["class_names"] == [str(c) for c in classes]
        assert dataset.labels("train").tolist() == [classes.index(v) for v in values]
        assert dataset.labels("train").dtype == np.int32


def test_classes_fix_the_order_and_task_overrides(tmp_path):
    text = "x,y\n1,3\n2,1\n"
    assert _csv(tmp_path, text, target="y", classes=[3, 2, 1]).labels("train").tolist() == [0, 2]
    assert _csv(tmp_path, text, target="y", classes=["3", "1"]).facts()["num_classes"] == 2
    assert _csv(tmp_path, text, target="y", task="regression").labels("train").tolist() == [3.0, 1.0]


def test_lines_are_counted_as_in_the_file(tmp_path):
    text = 'x,note,y\n1,"two\nlines",a\n\n2,plain,b\n3,plain,c\n'  # the class c stands on line 6
    with pytest.raises(ValueError, match="t.csv: line 6: the target 'y' is 'c', none of the classes a, b"):
        _csv(tmp_path, text, target="y", classes=["a", "b"]).labels("train")


GAPS = "age,city,rooms,y\n30,Metz,1,a\n,Paris,1,b\n36,,,a\n39,Metz,2,b\n"


@pytest.mark.parametrize(
    ("fill", "age", "city", "rooms"),
    [
        # ages present: 30, 36, 39; mean 35, median 36
        ({"age": "mean", "city": "most_frequent", "rooms": "most_frequent"}, 35.0, "Metz", 1),
        ({"age": "median", "city": "unknown", "rooms": 7}, 36.0, "unknown", 7),
        ({"age": 0, "city": "", "rooms": -1}, 0.0, "", -1),
        ("most_frequent", 30.0, "Metz", 1),
    ],
)
def test_gaps_are_filled(tmp_path, fill, age, city, rooms):
    x = _csv(tmp_path, GAPS, target="y", fill=fill, categorical=["rooms"]).read("train").x
    assert x["age"].tolist() == [30, age, 36, 39]
    assert x["city"].tolist() == ["Metz", "Paris", city, "Metz"]
    assert x["rooms"].tolist() == [1, 1, rooms, 2] and x["rooms"].dtype == np.int64


def test_statistics_come_from_the_train_file_only(tmp_path):
    (tmp_path / "test.csv").write_text("age,y\n1000,a\n,b\n")
    dataset = _csv(tmp_path, "age,y\n1,a\n3,b\n", target="y", fill="mean", test_path=tmp_path / "test.csv")
    assert dataset.read("test").x["age"].tolist() == [1000, 2]


def test_text_means_the_same_in_every_file(tmp_path):
    (tmp_path / "test.csv").write_text("code,y\n07,a\n7,b\n")  # numbers here, but text in the training file
    dataset = _csv(tmp_path, "code,y\n07,a\nx,b\n", target="y", test_path=tmp_path / "test.csv")
    assert dataset.read("test").x["code"].tolist() == ["07", "7"]


def test_parts_have_files_of_their_own(tmp_path):
    for name in ("v.csv", "e.csv"):
        (tmp_path / name).write_text("price,extra,rooms,city,age\n9.5,1,2,Metz,31\n")
    dataset = _csv(tmp_path, validation_path=tmp_path / "v.csv", test_path=tmp_path / "e.csv")
    assert dataset.sizes() == {"train": 3, "validation": 1, "test": 1}
    assert list(dataset.read("validation").x) == ["age", "city", "rooms"]
    assert dataset.read("test").x["age"].tolist() == [31]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", {}, "t.csv is empty"),
        ("age,price\n", {}, "t.csv has a header but no rows"),
        ("a,a,price\n1,2,3\n", {}, "more than one column 'a'"),
        ("a,,price\n1,2,3\n", {}, "column 2 has no name"),
        ("a,price\n1,2\n1,2,3\n", {}, "line 3 has 3 cells, the header has 2"),
        ("a,price\n1,2\n1\n", {}, "line 3 has 1 cells, the header has 2"),
        ("a;price\n1;2.5\n", {}, "no column 'price'"),
        ('a,price\n1,"2\n', {}, "line .*quotes"),
        (b"a,price\n\xe9,2\n", {}, "is not UTF-8"),
        (TABLE, {"target": "prcie"}, "no column 'prcie'. Did you mean 'price'"),
        (TABLE, {"numeric": ["agee"]}, "no column 'agee'. Did you mean 'age'"),
        (TABLE, {"ignore": ["town"]}, "no column 'town'. Known: age, city, rooms, price"),
        (TABLE, {"numeric": ["city"]}, "line 2: column 'city' must be a number. Got 'Metz'"),
        (TABLE, {"ignore": ["age", "city", "rooms"]}, "no input column apart from the target"),
        (
            TABLE,
            {"task": "regression", "target": "city"},
            "line 2: column 'city' must be a number. Got 'Metz'",
        ),
        (TABLE, {"fill": {"city": 3}}, None),
        (
            GAPS,
            {"target": "y"},
            r"column 'age' has 1 missing value, the first on line 3: set 'fill' .*\{age: median\}",
        ),
        (GAPS, {"target": "y", "fill": "mean"}, "'fill' is 'mean' for the categorical column 'city'"),
        (
            GAPS,
            {"target": "y", "fill": {"age": "young", "city": "x"}},
            "'fill' of column 'age' must be a number. Got 'young'",
        ),
        (GAPS, {"target": "y", "fill": {"agee": 1}}, "no column 'agee'"),
        (GAPS, {"target": "city"}, "the target 'city' has 1 missing value, the first on line 4"),
        ("a,b,price\n1,,2.5\n2,,3.5\n", {}, "column 'b' has no values at all"),
        ("a,price\n1,2.5\n1e99,3.5\n", {}, "line 3: column 'a' must be a finite float32 number. Got '1e99'"),
        ("a,price\n1,2.5\n2,inf\n", {}, "line 3: column 'price' must be a finite"),
        ("a,price\n1,x\n2,x\n", {}, "the target 'price' has 1 class, 'x'"),
    ],
)
def test_faults_are_one_line_with_file_and_place(tmp_path, text, arguments, message):
    if message is None:  # nothing is missing: a filler that is never used does no harm
        _csv(tmp_path, text, **arguments).read("train")
        return
    with pytest.raises(ValueError, match=message) as caught:
        dataset = _csv(tmp_path, text, **arguments)
        dataset.sizes(), dataset.facts(), dataset.read("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"numeric": ["age"], "categorical": ["age"]}, "'age' is in both 'numeric' and 'categorical'"),
        ({"ignore": ["price"]}, "'price' is in both 'target' and 'ignore'"),
        ({"task": "ranking"}, "'task' parameter of Csv must be one of"),
        ({"separator": ", "}, "'separator' .* one character"),
        ({"fill": "zero"}, "'fill' .* 'mean', 'median', 'most_frequent'"),
        ({"classes": ["a", "a"]}, "without repeated classes"),
        ({"classes": ["a", "b"], "task": "regression"}, "'classes' has no meaning"),
        ({"numeric": "age"}, "'numeric' .* list of names"),
    ],
)
def test_wrong_arguments_are_errors(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        _csv(tmp_path, **arguments)


def test_a_column_missing_from_the_test_file_is_named(tmp_path):
    (tmp_path / "test.csv").write_text("age,City,rooms,price\n1,Metz,1,1.5\n")
    dataset = _csv(tmp_path, test_path=tmp_path / "test.csv")
    with pytest.raises(ValueError, match="test.csv has no column 'city'. Did you mean 'City'"):
        dataset.sizes()


def test_separators_and_byte_order_marks(tmp_path):
    text = "\ufeff" + TABLE.replace(",", ";")
    assert _csv(tmp_path, text, separator=";").facts()["input_columns"] == ["age", "city", "rooms"]


def test_parquet_gives_what_csv_gives(tmp_path):
    frame = pd.DataFrame(
        {
            "age": [30, 40, 50],
            "city": pd.Categorical(["Metz", "Paris", "Metz"]),
            "new": [True, False, True],
            "rooms": pd.array([2, None, 2], dtype="Int64"),
            "price": [1.5, 2.5, 3.5],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    arguments = {"target": "price", "categorical": ["rooms"], "fill": {"rooms": 9}}
    one, two = (Csv(tmp_path / name, **arguments) for name in ("t.parquet", "t.csv"))
    assert one.facts() == two.facts()
    for name, column in one.read("train").x.items():
        np.testing.assert_array_equal(column, two.read("train").x[name])
    target = Csv(tmp_path / "t.parquet", target="new", fill="mean")
    assert target.facts()["classes"] == [False, True] and target.labels("train").tolist() == [1, 0, 1]


def test_parquet_columns_that_are_no_features_are_named(tmp_path):
    frame = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"]), "y": [1.5, 2.5]})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column 'day' holds Timestamp values: .*'ignore'"):
        Csv(tmp_path / "t.parquet", target="y").read("train")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match="t.parquet is no readable Parquet file"):
        Csv(tmp_path / "t.parquet", target="y").sizes()


def test_missing_pyarrow_tells_what_to_install(tmp_path, monkeypatch):
    import sys

    pd.DataFrame({"x": [1], "y": [2]}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'dltool\[parquet\]'"):
        Csv(tmp_path / "t.parquet", target="y").sizes()

"""Csv on files as people have them: ids, codes, decimal commas, words for missing values, long cells, row numbers."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from dltool.library.datasets.csv import Csv

IDS = ["9876543210987654321098", "9876543210987654321099", "17293822569102704641", "17293822569102704642"]


def _csv(folder, text, name="t.csv", **arguments):
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    return Csv(folder / name, **({"target": "y"} | arguments))


def _columns(header, *columns):
    rows = (",".join(map(str, row)) for row in zip(*columns, strict=True))
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("cells", "kind", "read"),
    [
        (IDS, "string_categorical", IDS),
        (["00501", "501", "0501"], "string_categorical", ["00501", "501", "0501"]),
        (["1", "1.0", "2"], "integer_categorical", [1, 1, 2]),
        (
            ["9007199254740993", "9007199254740992", ""],
            "integer_categorical",
            [2**53 + 1, 2**53, 0],
        ),  # no float64 holds
        (["-9223372036854775808", "9223372036854775807"], "integer_categorical", [-(2**63), 2**63 - 1]),
        (["9223372036854775808", "1"], "string_categorical", ["9223372036854775808", "1"]),
        (["1e3", "5"], "integer_categorical", [1000, 5]),
        (["1_000", "5"], "string_categorical", ["1_000", "5"]),
        (["1.5", "2"], "string_categorical", ["1.5", "2"]),
    ],
)
def test_categories_are_kept_apart_as_they_are_written(tmp_path, cells, kind, read):
    text = _columns("c,y", cells, [i % 2 for i in range(len(cells))])
    dataset = _csv(tmp_path, text, categorical=["c"], fill={"c": 0} if "" in cells else None)
    assert dataset.facts()["features"] == {"c": kind}
    assert dataset.read("train").x["c"].tolist() == read


def test_parquet_keeps_categories_apart_too(tmp_path):
    frame = pd.DataFrame({"code": ["00501", "501"], "big": np.array([2**63, 2**63 + 1], np.uint64), "y": ["a", "b"]})
    frame.to_parquet(tmp_path / "t.PARQUET")
    dataset = Csv(tmp_path / "t.PARQUET", target="y", categorical=["code", "big"])
    x = dataset.read("train").x
    assert (x["code"].tolist(), x["big"].tolist()) == (["00501", "501"], [str(2**63), str(2**63 + 1)])


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["0.0", "1.0", "0.0"], "classification", [0, 1]),
        (["0", "1.0", "1e0"], "classification", [0, 1]),
        ([f"{i}.0" for i in range(21)], "regression", None),
        (["0.5", "1.0", "0.5"], "regression", None),
        (["00501", "501", "501"], "classification", ["00501", "501"]),
        ([IDS[0], IDS[1], IDS[0]], "classification", [IDS[0], IDS[1]]),
    ],
)
def test_targets_are_classes_by_one_rule(tmp_path, cells, task, classes):
    dataset = _csv(tmp_path, _columns("x,y", range(len(cells)), cells))
    assert dataset.task == task
    if classes:
        assert dataset.facts()["classes"] == classes
        expected = [classes.index(cell if isinstance(classes[0], str) else float(cell)) for cell in cells]
        assert dataset.labels("train").tolist() == expected


def test_words_for_missing_are_classes_if_the_user_says_so(tmp_path):
    text = _columns("x,c,y", range(4), ["NA", "b", "", "NA"], ["None", "NA", "a", "None"])
    with pytest.raises(ValueError, match=r"3 missing values \('NA', 'None'\), .*'missing: \[NaN\]' to keep 'NA' and"):
        _csv(tmp_path, text).labels("train")
    dataset = _csv(tmp_path, text, missing=[], fill={"c": "none"})
    assert dataset.facts()["classes"] == ["NA", "None", "a"]
    assert dataset.labels("train").tolist() == [1, 0, 2, 1]
    assert dataset.read("train").x["c"].tolist() == ["NA", "b", "none", "NA"]  # an empty cell is always missing


def test_own_words_and_numbers_for_missing(tmp_path):
    text = _columns("x,z,y", ["-999", "2", "4", "-999.0"], ["?", "1", "3", "5"], [0, 1, 0, 1])
    dataset = _csv(tmp_path, text, missing=[-999, "?"], fill="mean")
    x = dataset.read("train").x
    assert (x["x"].tolist(), x["z"].tolist()) == ([3, 2, 4, 3], [3, 1, 3, 5])
    pd.DataFrame({"x": [-999.0, 2, 4], "z": ["?", "a", "a"], "y": ["u", "v", "u"]}).to_parquet(tmp_path / "t.parquet")
    fill = {"x": "mean", "z": "most_frequent"}
    x = Csv(tmp_path / "t.parquet", target="y", missing=[-999, "?"], fill=fill).read("train").x
    assert (x["x"].tolist(), x["z"].tolist()) == ([3, 2, 4], ["a", "a", "a"])
    with pytest.raises(ValueError, match="'missing' .* list of words and numbers"):
        _csv(tmp_path, text, missing="?")


def test_pandas_and_dltool_agree_on_what_is_missing_by_default(tmp_path):
    from dltool.data.formats.table_file import MISSING

    text = _columns("x,y", [*MISSING, "", "fine"], range(len(MISSING) + 2))
    (tmp_path / "t.csv").write_text(text)
    assert pd.read_csv(tmp_path / "t.csv")["x"].isna().sum() == len(MISSING) + 1
    with pytest.raises(ValueError, match=f"column 'x' has {len(MISSING) + 1} missing values"):
        Csv(tmp_path / "t.csv", target="y").read("train")


def test_decimal_commas(tmp_path):
    text = "größe;c;y\n1,5;2,0;a\n-0,25;3;b\n1e1;2;a\n"
    dataset = _csv(tmp_path, text, separator=";", decimal=",", categorical=["c"])
    x = dataset.read("train").x
    assert (x["größe"].tolist(), x["c"].tolist()) == ([1.5, -0.25, 10], [2, 3, 2])
    with pytest.raises(ValueError, match=r"line 2: column 'x' must be a number. Got '1.5'"):
        _csv(tmp_path, "x;y\n1.5;a\n2,5;b\n", separator=";", decimal=",", numeric=["x"]).read("train")
    assert _csv(tmp_path, "x;y\n1;1,0\n2;0,0\n", separator=";", decimal=",").facts()["classes"] == [0, 1]
    with pytest.raises(ValueError, match="'decimal' parameter of Csv must be one of"):
        _csv(tmp_path, text, decimal=";")


def test_a_file_read_with_another_separator_says_so(tmp_path):
    with pytest.raises(ValueError, match="has no column 'y'. The header holds ';': set 'separator' to it"):
        _csv(tmp_path, "a;b;y\n1;2;3\n4;5;6\n").sizes()


@pytest.mark.parametrize("name", ["T.CSV", "t.Csv.Gz", "T.TSV", "t.tsv.gz", "T.TXT"])
def test_suffixes_in_any_case_and_tabs_of_tsv(tmp_path, name):
    text = "a,y\n1,2.5\n"
    text = text.replace(",", "\t") if "tsv" in name.lower() else text
    assert _csv(tmp_path, text, name).read("train").x["a"].tolist() == [1]


def test_cells_of_any_length(tmp_path):
    import csv

    before, long = csv.field_size_limit(), "x" * 300_000
    dataset = _csv(tmp_path, f"note,y\n{long},a\nshort,b\n")
    assert [len(cell) for cell in dataset.read("train").x["note"]] == [300_000, 5]
    assert csv.field_size_limit() == before


def test_the_index_that_pandas_writes_is_left_out_and_named(tmp_path):
    frame = pd.DataFrame({"x": np.arange(30) % 7, "y": ["a", "b"] * 15}).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "t.csv")
    dataset = Csv(tmp_path / "t.csv", target="y")
    assert dataset.facts()["input_columns"] == ["x"]
    assert dataset.read("train").x["x"].tolist() == frame["x"].tolist()
    assert dataset.hints() == [f"{tmp_path}/t.csv: the first column has no name and numbers the rows: it is left out"]
    with pytest.raises(ValueError, match="column 1 has no name"):  # values repeat: not an index
        _csv(tmp_path, ",y\n1,a\n1,b\n").sizes()


ROWS = 40


@pytest.mark.parametrize(
    ("cells", "arguments", "hint"),
    [
        (
            [f"{i},{i % 7}" for i in range(ROWS)],
            {"separator": ";"},
            "looks like numbers with commas (0,0) but is read as categories: set decimal: ','",
        ),
        ([f"1,{i:03},000" for i in range(ROWS)], {"separator": ";"}, "looks like numbers with commas (1,000,000)"),
        ([f"u{i}" for i in range(ROWS)], {}, "looks like an id: 40 different values in 40 rows"),
        ([f"a review of thing {i} in words" for i in range(ROWS)], {}, "looks like free text: 40 different"),
        (range(7, 7 + ROWS), {}, "looks like an id: 40 different whole numbers in 40 rows. Add it to 'ignore'"),
        (range(7, 7 + ROWS), {"categorical": ["c"]}, "looks like an id: 40 different values"),
        ([f"{i:05}" for i in range(0, 5 * ROWS, 5)], {}, "is read as numbers but looks like codes"),
        (range(7, 7 + ROWS), {"numeric": ["c"]}, None),
        ([i / 7 for i in range(ROWS)], {}, None),
        ([3 * i for i in range(ROWS)], {}, None),
        ([f"u{i % 9}" for i in range(ROWS)], {}, None),
    ],
)
def test_columns_that_hardly_say_what_is_meant_are_named(tmp_path, cells, arguments, hint):
    separator = arguments.get("separator", ",")
    rows = "".join(f"{cell}{separator}{'ab'[i % 2]}\n" for i, cell in enumerate(cells))
    found = _csv(tmp_path, f"c{separator}y\n{rows}", **arguments).hints()
    assert bool(found) == (hint is not None)
    assert hint is None or (len(found) == 1 and f"t.csv: column 'c' {hint}" in found[0])


def test_a_target_of_numbers_with_commas_is_named(tmp_path):
    rows = "".join(f"{i % 3};{i},5\n" for i in range(ROWS))
    (hint,) = _csv(tmp_path, "x;y\n" + rows, separator=";").hints()
    assert "the target 'y' looks like numbers with commas (0,5) but is read as categories" in hint
    dataset = _csv(tmp_path, "x;y\n" + rows, separator=";", decimal=",")
    assert (dataset.hints(), dataset.task, dataset.labels("train")[1]) == ([], "regression", 1.5)


@pytest.fixture
def trained(tmp_path):
    """A training table, and what a run keeps of it."""
    text = "c,s,a,w,y\n1,10,1.5,x,no\n2,20,,x,yes\n1,10,4.5,,no\n3,20,3,z,no\n"
    dataset = _csv(tmp_path, text, "train.csv", categorical=["c", "s"], fill={"a": "mean", "w": "most_frequent"})
    facts = dataset.facts()
    assert facts["fill_values"] == {"a": 3.0, "w": "x"}
    return dataset, facts | {"categories": {"c": [1, 2, 3], "s": [10, 20], "w": ["x", "z"]}}


def test_other_files_are_read_as_the_training_file_was(tmp_path, trained):
    _, facts = trained
    text = "extra,w,y,a,s,c\n,z,no,,10.0,1\n,,no,7,k1,9876543210987654321098\n,1.5,no,2,20,\n"
    other = _csv(tmp_path, text, fill={"a": "mean", "w": "most_frequent", "c": 2}, ignore=["id"]).as_trained(facts)
    x, y = other.read("train").x, other.labels("train")
    assert list(x) == ["c", "s", "a", "w"]
    assert (x["a"].tolist(), x["w"].tolist()) == ([3, 7, 2], ["z", "x", "1.5"])  # training's mean, not 4.5
    assert x["c"][[0, 2]].tolist() == [1, 2] and x["s"][[0, 2]].tolist() == [10, 20]
    assert x["c"][1] not in (1, 2, 3) and x["s"][1] not in (10, 20)
    assert y.tolist() == [0, 0, 0]  # one of two classes
    assert other.facts()["class_names"] == ["no", "yes"]
    assert other.unseen("train") == (
        f"{tmp_path}/t.csv: categories that training never saw, read as unknown: 1 in column 'c' "
        "('9876543210987654321098'); 1 in column 's' ('k1'); 1 in column 'w' ('1.5')"
    )
    assert other.unseen("train", np.array([0])) is None


def test_whole_numbers_may_be_written_with_a_point(tmp_path):
    facts = _csv(tmp_path, "c,y\n1,0\nx,1\n00501,1\n", "train.csv").facts()
    facts["categories"] = {"c": ["1", "x", "00501"]}
    other = _csv(tmp_path, "c,y\n1.0,1.0\n501,0.0\n00501,1\n").as_trained(facts)
    assert other.read("train").x["c"].tolist() == ["1", "501", "00501"]
    assert other.labels("train").tolist() == [1, 0, 1]
    assert "1 in column 'c' ('501')" in other.unseen("train")


def test_a_regression_stays_one(tmp_path):
    facts = _csv(tmp_path, "x,y\n1,2.5\n2,3.5\n", "train.csv").facts()
    other = _csv(tmp_path, "x,y\n1,0\n2,1\n").as_trained(facts)  # whole numbers here
    assert (other.task, other.labels("train").tolist()) == ("regression", [0, 1])


def test_an_unknown_class_in_other_data_is_an_error_with_its_line(tmp_path, trained):
    with pytest.raises(ValueError, match="line 3: the target 'y' is 'maybe', none of the classes no, yes: correct it"):
        _csv(tmp_path, "c,s,a,w,y\n1,10,1,x,no\n1,10,1,x,maybe\n").as_trained(trained[1]).labels("train")

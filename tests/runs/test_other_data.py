"""Runs meet other data, which are read as training read its own; predictions by name; weights of classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dltool.recipe import reading
from dltool.recipe.data import Data
from dltool.runs import other_data
from dltool.runs import train as experiment
from tests.command_line import run

TABLE = """\
# A net on a table.
data: {{dataset: {{Csv: {{path: {folder}/train.csv, target: {target}}}}}, validation_split: 0.1}}
model: [{{FeatureSpace: '${{data.features}}'}}, {{Dense: {units}}}]
compile: {{optimizer: {{Adam: 0.1}}, loss: {loss}, metrics: {metrics}}}
fit: {{epochs: {epochs}, batch_size: 32}}
seed: 2
"""
SPARSE = "{SparseCategoricalCrossentropy: {from_logits: true}}"
ROWS = 160
IMAGES = """\
# A net on images.
data: {{dataset: {{ImageFolder: {{path: {folder}/photos, image_size: [6, 6], color_mode: grayscale}}}}}}
model: [Flatten, {{Rescaling: 0.004}}, {{Dense: 3}}]
compile: {{optimizer: {{Adam: 0.1}}, loss: {loss}, metrics: [accuracy]}}
fit: {{epochs: 4, batch_size: 16}}
"""
ANIMALS = {"cat": 20, "dog": 120, "eel": 230}  # name -> grey


def table(size: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Categories of which one looks like a number, s by numbers, a number with gaps; y follows from s and c."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"c": generator.choice(["red", "1", "blue"], size), "s": generator.choice([1, 2, 10], size)})
    frame["a"] = generator.normal(size=size).round(3)
    frame["y"] = np.where((frame["s"] == 10) | (frame["c"] == "1"), "yes", "no")
    frame.loc[::9, "a"] = np.nan
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on a table (a classifier, a regression) and on images, with their data."""
    folder = tmp_path_factory.mktemp("other")
    table().to_csv(folder / "train.csv", index=False)
    common = {"folder": folder, "loss": SPARSE, "metrics": "[accuracy]", "epochs": 15}
    of_numbers = {"loss": "mse", "metrics": "[]", "epochs": 1}
    recipes = {
        "table": TABLE.format(**common, target="y, categorical: [s], fill: {a: median}", units="'${data.num_classes}'"),
        "numbers": TABLE.format(**common | of_numbers, target="s, task: regression, fill: {a: 0}", units="1"),
        "pictures": IMAGES.format(**common),
    }
    for name, grey in ANIMALS.items():
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            picture = Image.new("L", (6, 6), grey + number)
            picture.save(folder / "photos" / name / f"{number}.png")
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text)
        experiment.train(reading.load(folder / f"{name}.yaml"), out=folder / name)
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def report(capsys: pytest.CaptureFixture[str], *arguments: object, said: str = "") -> dict:
    done = run(capsys, "eval", *arguments, "--format", "json")
    assert (done.status, done.err) == (0, said), done.err
    return json.loads(done.out)["scores"][0]


def predictions(capsys: pytest.CaptureFixture[str], *arguments: object, said: str = "") -> pd.DataFrame:
    Path("p.csv").unlink(missing_ok=True)
    report(capsys, *arguments, "--predictions", "p.csv", said=said)
    return pd.read_csv("p.csv", keep_default_na=False)


def test_a_file_of_one_number_like_category_is_read_as_the_run_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    other = table(60, seed=1)
    expected = predictions(capsys, "table", "--data", write(other))
    one = other[other["c"] == "1"]
    frame = predictions(capsys, "table", "--data", write(one.assign(s=one["s"].astype(float))))
    assert frame["probability_yes"].to_numpy() == pytest.approx(expected["probability_yes"][one.index], abs=1e-6)
    assert set(frame["target"]) == {"yes"}  # a file with one class only


def write(frame: pd.DataFrame, name: str = "new.csv") -> str:
    frame.to_csv(name, index=False)
    return f"Csv: {{path: {name}, target: y}}"


def test_order_and_further_columns_do_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    other = table(60, seed=1)
    expected = report(capsys, "table", "--data", write(other))
    shuffled = other.assign(z="?", aa=3)[["z", "y", "s", "aa", "c", "a"]]
    assert report(capsys, "table", "--data", write(shuffled)) == expected
    shuffled.to_csv("index.csv")
    assert report(capsys, "table", "--data", "Csv: {path: index.csv}") == expected
    shuffled.astype({"s": str}).to_parquet("new.PARQUET")
    assert report(capsys, "table", "--data", "Csv: new.PARQUET") == expected


def test_categories_never_seen_are_counted_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    other = table(60, seed=1).astype({"s": object})
    other.loc[:4, "s"] = "k2"
    other.loc[5, "c"] = "9876543210987654321098"
    said = (
        "dltool: new.csv: categories that training never saw, read as unknown: "
        "1 in column 'c' ('9876543210987654321098'); 5 in column 's' ('k2')\n"
    )
    assert report(capsys, "table", "--data", write(other), said=said)["examples"] == 60


def test_minus_one_is_a_category_like_any_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Keras's lookup of whole numbers takes -1 for the unknown."""
    table().replace({"s": {2: -1}}).to_csv(tmp_path / "train.csv", index=False)
    text = Path("table.yaml").read_text().replace(str(Path.cwd() / "train.csv"), str(tmp_path / "train.csv"))
    (tmp_path / "minus.yaml").write_text(text)
    experiment.train(reading.load(tmp_path / "minus.yaml", ["fit.epochs=1"]), out=tmp_path / "minus")
    other = table(60, seed=1).replace({"s": {2: -1}})
    assert report(capsys, tmp_path / "minus", "--data", write(other))["examples"] == 60


def test_gaps_become_what_training_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    other = table(60, seed=1).assign(a=50.0)
    other.loc[::2, "a"] = np.nan  # its own median would be 50
    median = table()["a"].median()
    facts = json.loads(Path("table/data.json").read_text())
    assert facts["fill_values"] == {"a": pytest.approx(median)}
    expected = predictions(capsys, "table", "--data", write(other.fillna({"a": median})))
    filled = predictions(capsys, "table", "--data", write(other))
    assert filled["probability_yes"].to_numpy() == pytest.approx(expected["probability_yes"].to_numpy(), abs=1e-6)


def test_runs_made_before_fills_were_kept_take_them_from_their_training_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import shutil

    old = tmp_path / "old"
    shutil.copytree("table", old)
    facts = json.loads((old / "data.json").read_text())
    del facts["fill_values"]
    (old / "data.json").write_text(json.dumps(facts))
    other = table(60, seed=1)
    expected = report(capsys, "table", "--data", write(other))
    assert report(capsys, old, "--data", write(other)) == expected | {"run": str(old)}


def test_a_regression_meets_whole_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    other = table(60, seed=1).assign(s=[0, 1] * 30)
    other.to_csv("new.csv", index=False)
    frame = predictions(capsys, "numbers", "--data", "Csv: new.csv")
    assert list(frame) == ["index", "row", "target", "prediction"]
    assert frame["target"].tolist() == [0, 1] * 30


def test_predictions_of_a_table_name_rows_classes_and_probabilities(capsys: pytest.CaptureFixture[str]) -> None:
    frame = predictions(capsys, "table", "--split", "test")
    assert list(frame) == ["index", "row", "target", "prediction", "probability_no", "probability_yes"]
    assert frame["index"].tolist() == list(range(ROWS // 5))
    assert frame["target"].tolist() == table()["y"].iloc[frame["row"]].tolist()
    likely = np.array(["no", "yes"])[frame[["probability_no", "probability_yes"]].to_numpy().argmax(axis=1)]
    assert frame["prediction"].tolist() == likely.tolist()


def test_predictions_of_images_name_files(capsys: pytest.CaptureFixture[str]) -> None:
    frame = predictions(capsys, "pictures", "--split", "all")
    assert list(frame)[:4] == ["index", "file", "target", "prediction"]
    assert list(frame)[4:] == [f"probability_{name}" for name in ANIMALS]
    assert all(Path(file).parent.name == name for file, name in zip(frame["file"], frame["target"], strict=True))
    assert all(Path(file).is_file() for file in frame["file"])


def test_images_of_some_classes_and_another_size(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "new" / "dog").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (120, 120, 120)).save(tmp_path / "new" / "dog" / f"{number}.png")
    frame = predictions(capsys, "pictures", "--data", f"ImageFolder: {tmp_path / 'new'}")
    assert frame["target"].tolist() == ["dog"] * 4 and len(set(frame["probability_eel"])) == 1
    (tmp_path / "new" / "fox").mkdir()
    done = run(capsys, "eval", "pictures", "--data", f"ImageFolder: {tmp_path / 'new'}")
    assert done.status == 5 and "fox is no known class folder" in done.err and done.err.count("\n") == 1


def test_images_become_as_large_and_coloured_as_those_of_the_run() -> None:
    one = reading.load("cnn/digits")
    facts = {"input_shape": [8, 8, 1], "num_classes": 3, "class_names": list(ANIMALS)}
    dataset = other_data.other_dataset("ImageFolder: photos", one, facts)
    assert dataset.facts() == {"input_shape": (8, 8, 1), "num_classes": 3, "class_names": list(ANIMALS)}


def test_selected_classes_are_selected_of_all_that_training_had(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = (
        Path("pictures.yaml")
        .read_text()
        .replace("data: {", "data: {classes: [eel, cat], ")
        .replace("Dense: 3", "Dense: 2")
    )
    (tmp_path / "two.yaml").write_text(text.replace("epochs: 4", "epochs: 1"))
    experiment.train(reading.load(tmp_path / "two.yaml"), out=tmp_path / "two")
    (tmp_path / "new").mkdir()
    for name in ("cat", "dog"):  # no eel
        (tmp_path / "new" / name).symlink_to(Path("photos", name).absolute())
    frame = predictions(capsys, tmp_path / "two", "--data", f"ImageFolder: {tmp_path / 'new'}")
    assert frame["target"].tolist() == ["cat"] * 8
    assert list(frame)[4:] == ["probability_eel", "probability_cat"]


def test_arrays_of_another_type_keep_the_runs_task(tmp_path: Path) -> None:
    x = np.zeros((3, 2), np.float32)
    np.savez(tmp_path / "whole.npz", x=x, y=np.array([1, 2, 3]))
    np.savez(tmp_path / "points.npz", x=x, y=np.array([0.0, 1.0, 1.0]))
    np.savez(tmp_path / "odd.npz", x=x, y=np.array([0.0, 0.5, 1.0]))
    one = reading.load("mlp/digits")
    regression = other_data.other_dataset(f"Npz: {tmp_path}/whole.npz", one, {"num_targets": 1})
    assert (regression.task, regression.labels("train").dtype) == ("regression", np.float32)
    classes = other_data.other_dataset(f"Npz: {tmp_path}/points.npz", one, {"num_classes": 2})
    assert (classes.task, classes.labels("train").tolist()) == ("classification", [0, 1, 1])
    odd = other_data.other_dataset(f"Npz: {tmp_path}/odd.npz", one, {"num_classes": 2})
    assert odd.task == "regression"  # no classes: `eval` says that the targets differ in kind


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_other_text_is_read_in_the_runs_vocabulary_whatever_dataset_it_comes_from(tokens: str, tmp_path: Path) -> None:
    from dltool.data.tokenizers import base

    vocabulary = base.find(tokens).fit("a fine day, a day")
    one = reading.load("language/python-docs")
    (tmp_path / "new.txt").write_text("a fine day, a way\n" * 3)
    facts = {"tokens": tokens, "sequence_length": 4, "vocabulary_size": vocabulary.size}
    dataset = other_data.other_dataset(f"TextFile: {tmp_path}/new.txt", one, facts)
    line = Data(dataset, vocabulary=vocabulary, test_split=0.0).unseen("train")
    expected = {
        "characters": "6 of 54 characters are not in the run's vocabulary, read as unknown ('w', '\\n')",
        "words": "6 of 21 words are not in the run's vocabulary, read as unknown (' way', '\\n')",
    }
    assert line == f"{tmp_path}/new.txt: {expected[tokens]}"


def test_words_of_sentences_outside_the_vocabulary_are_counted(tmp_path: Path) -> None:
    from dltool.library.datasets.parallel_text import ParallelText

    (tmp_path / "t.en").write_text("one two\ntwo one\n" * 5)
    (tmp_path / "t.de").write_text("eins zwei\nzwei eins\n" * 5)
    train = ParallelText(tmp_path / "t.{language}", directions=["en-de"], tokens="word", shared_vocabulary=False)
    (tmp_path / "u.en").write_text("one three\n")
    (tmp_path / "u.de").write_text("eins drei\n")
    other = ParallelText(tmp_path / "u.{language}", directions=["en-de"], tokens="word", shared_vocabulary=False)
    line = other.with_vocabulary(train.vocabulary).unseen("train")
    assert line is not None and "2 of 7 tokens are not in the run's vocabulary" in line  # with begin and two ends


def test_balanced_counts_the_training_split_alone() -> None:
    from dltool.runs.preparation import Preparation

    prepared = Preparation.of(reading.load(Path("table.yaml"), ["fit.class_weight=balanced"]))
    rows = prepared.data.splits["train"].indices()
    counts = table()["y"].iloc[rows].value_counts()
    assert prepared.class_weight == pytest.approx([len(rows) / (2 * counts[name]) for name in ("no", "yes")])
    prepared = Preparation.of(reading.load(Path("table.yaml"), ["fit.class_weight={yes: 4}"]))
    assert prepared.class_weight == pytest.approx([1, 4])

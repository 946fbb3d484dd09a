"""Some classes of a dataset, and few examples of each: which examples, under which labels, in memory and streamed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dltool.data.class_selection import with_classes
from dltool.data.splits import split
from dltool.library.datasets.digits import Digits
from dltool.library.datasets.image_folder import ImageFolder
from dltool.library.datasets.line import Line
from dltool.library.datasets.npz import Npz
from dltool.recipe import build, reading
from dltool.recipe.data import Data
from tests.command_line import QUICK, run, write_quick


def stored(tmp_path: Path) -> Npz:
    """30 examples, x the number of the example, classes 0, 1, 2 in turn; 6 in test."""
    numbers = np.arange(30)
    path = tmp_path / "stored.npz"
    np.savez(
        path, x_train=numbers[:, None], y_train=numbers % 3, x_test=numbers[:6, None] + 100, y_test=numbers[:6] % 3
    )
    return Npz(path)


def test_classes_are_relabelled_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    chosen = with_classes(stored(tmp_path), [2, 0])
    assert chosen.sizes() == {"train": 20, "test": 4}
    read = chosen.read("train")
    expected = [(number, {2: 0, 0: 1}[number % 3]) for number in range(30) if number % 3 != 1]
    assert list(zip(read.x[:, 0].tolist(), read.y.tolist(), strict=True)) == expected
    assert chosen.labels("test").tolist() == [1, 0, 1, 0]  # of classes 0, 2, 0, 2
    assert chosen.facts()["num_classes"] == 2 and chosen.facts()["selected_classes"] == [2, 0]


def test_class_names_follow_and_name_classes() -> None:
    chosen = with_classes(Digits(), ["7", 3])
    assert chosen.facts()["class_names"] == ["7", "3"]
    assert len(chosen.labels("train")) == np.isin(Digits().labels("train"), [3, 7]).sum()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0, 10], r"Digits has no class 10\. It has: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\."),
        ([0, "ten"], r"has no class 'ten'"),
        ([0, 0], r"list of at least 2 different classes"),
        ([4], r"list of at least 2 different classes"),
    ],
)
def test_a_class_that_is_not_there_is_told_with_those_that_are(classes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_classes(Digits(), classes)


def test_numbers_as_targets_have_no_classes() -> None:
    with pytest.raises(ValueError, match="numbers as targets"):
        with_classes(Line(), [0, 1])
    with pytest.raises(ValueError, match="numbers as targets"):
        split(Line(), examples_per_class=3)


def test_a_class_without_training_examples_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gap.npz"
    np.savez(path, x=np.zeros((4, 1)), y=np.array([0, 2, 2, 3]))
    with pytest.raises(ValueError, match="no training example of class 1"):
        with_classes(Npz(path), [0, 1]).sizes()


def test_few_examples_are_of_the_training_split_alone_and_as_many_of_each_class() -> None:
    whole = split(Digits(), validation_split=0.1, seed=4)
    few = split(Digits(), validation_split=0.1, seed=4, examples_per_class=5)
    labels = Digits().labels("train")
    assert few["train"].size == 50
    assert np.bincount(labels[few["train"].indices()]).tolist() == [5] * 10
    assert set(few["train"].indices()) <= set(whole["train"].indices())
    for name in ("validation", "test"):
        np.testing.assert_array_equal(few[name].indices(), whole[name].indices())


def test_fewer_examples_are_among_more_and_a_function_of_the_seed() -> None:
    def drawn(each: int, seed: int) -> set[int]:
        return set(split(Digits(), seed=seed, examples_per_class=each)["train"].indices().tolist())

    assert drawn(3, 1) < drawn(9, 1)
    assert drawn(3, 1) == drawn(3, 1) != drawn(3, 2)


def test_more_examples_than_there_are_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="asks for 33 examples of 3 classes, but 30 of Npz are left"):
        split(stored(tmp_path), examples_per_class=11)
    path = tmp_path / "uneven.npz"
    np.savez(path, x=np.zeros((10, 1)), y=np.array([0] * 9 + [1]))
    with pytest.raises(ValueError, match="class 1 of Npz has 1 examples to train on"):
        split(Npz(path), test_split=0, examples_per_class=2)["train"].indices()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A grey value for each image: 10 times the class plus its number."""
    from PIL import Image

    for label, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            grey = Image.new("L", (4, 4), 10 * label + number)
            grey.save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def test_a_streamed_folder_gives_the_classes_it_would_give_in_memory(images: Path) -> None:
    from dltool.data.pipelines.streamed import Streamed

    dataset = ImageFolder(images, image_size=(4, 4), color_mode="grayscale")
    data = Data(with_classes(dataset, ["cat", "ant"]), test_split=0.25, examples_per_class=2)
    assert data.facts["class_names"] == ["cat", "ant"] and data.facts["examples_per_class"] == 2
    for name, size in (("train", 4), ("test", 3)):
        pipeline = data.pipeline(name, 3)
        assert isinstance(pipeline, Streamed) and pipeline.size == size
        x, y = (
            np.concatenate(one) for one in zip(*((x.numpy(), y.numpy()) for x, y in pipeline.batches()), strict=True)
        )
        assert len(y) == size
        assert {0: 2, 1: 0}[int(y[0])] == x[0, 0, 0, 0] // 10
        np.testing.assert_array_equal(np.array([2, 0])[y], x[:, 0, 0, 0] // 10)  # the grey tells the class


def test_recipe_with_classes_trains_and_is_evaluated_on_them_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = QUICK.replace("dataset: Digits", "dataset: Digits\n  classes: [3, 1, 8]\n  examples_per_class: 20")
    path = write_quick(tmp_path, text=text)
    assert run(capsys, "train", path, "--out", tmp_path / "run", "-q").status == 0
    facts = json.loads((tmp_path / "run" / "data.json").read_text())
    assert facts["num_classes"] == 3 and facts["class_names"] == ["3", "1", "8"]
    assert facts["selected_classes"] == [3, 1, 8] and facts["examples_per_class"] == 20
    assert facts["train_size"] == 60
    found = json.loads(run(capsys, "eval", tmp_path / "run", "--format", "json").out)
    counts = np.bincount(Digits().labels("train"))[[3, 1, 8]]
    assert [row["class"] for row in found["classes"]] == ["3", "1", "8"]
    assert found["scores"][0]["examples"] == facts["test_size"] == np.ceil(0.2 * counts.sum())
    whole = json.loads(run(capsys, "eval", tmp_path / "run", "--split", "all", "--format", "json").out)
    assert whole["scores"][0]["examples"] == counts.sum()
    again = json.loads(run(capsys, "eval", tmp_path / "run", "--data", "Digits", "--format", "json").out)
    assert again["scores"][0]["examples"] == counts.sum()
    layers = json.loads(run(capsys, "summary", path, "--format", "json").out)["layers"]
    assert str(layers[-1]["output_shape"]).count("3") == 1
    figures = json.loads(run(capsys, "lr-schedule", path, "--format", "json").out)["schedules"]
    assert figures[0]["steps"] == 2  # 60 examples in batches of 64, two epochs
    resumed = run(capsys, "train", path, "data.examples_per_class=19", "--out", tmp_path / "run", "--resume")
    assert resumed.status == 2 and "data.examples_per_class: 20 -> 19" in resumed.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("data.classes=[1,11]", "data.classes: Digits has no class 11. It has: 0, 1"),
        ("data.classes=[1]", "data.classes: must be a list of at least 2 classes"),
        ("data.examples_per_class=0", "data.examples_per_class: must be an int >= 1"),
        ("data.examples_per_class=200", "asks for 2000 examples of 10 classes, but 1293 of Digits are left"),
    ],
)
def test_what_cannot_be_selected_is_a_recipes_error_in_one_line(
    changed: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", write_quick(tmp_path), changed, "--out", tmp_path / "run")
    assert done.status == 2 and len(done.err.splitlines()) == 1
    assert message in done.err
    assert not (tmp_path / "run").exists()


def test_null_takes_back_what_an_extended_recipe_selects(tmp_path: Path) -> None:
    loaded = reading.load(write_quick(tmp_path), ["data.classes=null", "data.examples_per_class=null"])
    data = Data.of(loaded, build.dataset(loaded.section("data", "dataset")))
    assert data.facts["num_classes"] == 10 and "selected_classes" not in data.facts

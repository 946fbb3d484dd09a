"""Facts that a recipe declares: enough to plan and to sum up without the data, and an error where the data differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dltool.recipe import catalogue, reading
from tests.command_line import Done, run

PHOTOS: dict[str, Any] = {
    "data": {
        "dataset": {"ImageFolder": {"path": "photos", "image_size": [4, 6]}},
        "declared": {"sizes": {"train": 100, "test": 10}, "num_classes": 3},
        "validation_split": 0.1,
    },
    "model": ["Flatten", {"Dense": "${data.num_classes}"}],
    "compile": {"optimizer": "adam", "loss": {"SparseCategoricalCrossentropy": {"from_logits": True}}},
    "fit": {"batch_size": 8, "epochs": 2},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    Path("r.yaml").write_text(json.dumps(PHOTOS))
    return tmp_path


def photos(**sizes: int) -> None:
    """Class folders "a", "b" and "c" with so many pictures of each class in each part."""
    for part, many in sizes.items():
        for name in "abc":
            Path("photos", part, name).mkdir(parents=True)
            for number in range(many):
                Image.new("RGB", (6, 4)).save(f"photos/{part}/{name}/{number}.png")


def schedule(capsys: pytest.CaptureFixture[str], *overrides: str) -> Done:
    return run(capsys, "lr-schedule", "r.yaml", *overrides, "--format", "json")


def steps(done: Done) -> int:
    assert done.status == 0, done.err
    return json.loads(done.out)["schedules"][0]["steps"]


def test_steps_follow_from_declared_sizes_and_the_splits(capsys: pytest.CaptureFixture[str]) -> None:
    assert steps(schedule(capsys)) == 2 * 12  # 90 of 100 remain to train on, in batches of 8
    assert steps(schedule(capsys, "data.validation_split=0.5")) == 2 * 7  # 50
    assert steps(schedule(capsys, "data.declared.sizes={train: 100}")) == 2 * 9  # a test split of 20, then 8: 72
    assert steps(schedule(capsys, "data.examples_per_class=4")) == 2 * 2  # 12 of 3 classes
    optimizer = "compile.optimizer={SGD: {learning_rate: '${data.train_size}'}}"
    assert json.loads(schedule(capsys, optimizer).out)["schedules"][0]["peak"] == 90


def test_the_model_is_summed_up_from_declared_classes(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "r.yaml", "--format", "json")
    assert json.loads(done.out)["total"][0]["parameters"] == 4 * 6 * 3 * 3 + 3, done.err
    done = run(capsys, "summary", "r.yaml", "data.dataset.ImageFolder.color_mode=grayscale", "--format", "json")
    assert json.loads(done.out)["total"][0]["parameters"] == 4 * 6 * 1 * 3 + 3, done.err
    done = run(capsys, "summary", "r.yaml", "data.declared={class_names: [a, b]}", "--format", "json")
    assert json.loads(done.out)["total"][0]["parameters"] == 4 * 6 * 3 * 2 + 2, done.err


def test_what_needs_the_data_says_that_they_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "init-stats"):
        done = run(capsys, command, "r.yaml")
        assert done.status == 2 and "No path photos: check the 'path' parameter of ImageFolder." in done.err
    done = schedule(capsys, "data.classes=[0, 1]")  # whose examples are not known
    assert done.status == 5 and "No path photos" in done.err
    done = schedule(capsys, "data.declared={num_classes: 3}")
    assert done.status == 5 and "No path photos" in done.err
    assert schedule(capsys, "data.declared=null").status == 2


@pytest.mark.parametrize("command", ["lr-schedule", "summary", "train"])
def test_data_that_contradict_what_is_declared_are_an_error_at_its_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(train=5, validation=2)
    done = run(capsys, command, "r.yaml", "data.declared.class_names=[x, y, z]", "data.validation_split=0")
    assert done.status == 2
    path = "data.declared"
    for line in (
        f"{path}.sizes.train: is 100, but the data have 15. Correct it, or remove it.",
        f"{path}.sizes.test: is 10, but the data have none. Correct it, or remove it.",
        f"{path}.sizes: names no validation part, but the data have one of 6 examples. Add it.",
        f"{path}.class_names: is ['x', 'y', 'z'], but the data have ['a', 'b', 'c']. Correct it, or remove it.",
    ):
        (told,) = [one for one in done.err.splitlines() if line in one]
        assert told.removeprefix("dltool: ").startswith(("r.yaml:1:", "command line:1:"))
    assert "num_classes" not in done.err
    assert not Path("runs").exists()


def test_data_that_agree_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    photos(train=10, test=2)
    agreed = (
        "data.declared={sizes: {train: 30, test: 6}, num_classes: 3, input_shape: [4, 6, 3], class_names: [a, b, c]}"
    )
    assert steps(schedule(capsys, agreed)) == 2 * 4  # 27
    assert run(capsys, "summary", "r.yaml", agreed).status == 0


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        ("5", "data.declared: must be a mapping of sizes, input_shape, num_classes, num_targets, class_names. Got 5."),
        ("{size: {train: 1}}", "data.declared.size: unknown key. Did you mean 'sizes'?"),
        ("{sizes: {test: 1}}", "data.declared.sizes: must be a mapping of train,"),
        ("{sizes: {train: 0}}", "data.declared.sizes: must be a mapping of train,"),
        ("{sizes: {train: 1, val: 1}}", "data.declared.sizes: must be a mapping of train,"),
        ("{num_classes: 2.5}", "data.declared.num_classes: must be an int >= 1. Got 2.5."),
        ("{num_classes: true}", "data.declared.num_classes: must be an int >= 1. Got True."),
        ("{input_shape: 3}", "data.declared.input_shape: must be the shape of an example"),
        ("{input_shape: [9, 9, 3]}", "data.declared.input_shape: is [9, 9, 3], but the data have [4, 6, 3]."),
        ("{class_names: [a, b], num_classes: 3}", "data.declared.class_names: has 2 names, but num_classes is 3."),
        ("{num_classes: '${data.x}'}", "data.declared.num_classes: ${data.x}: facts of the data stand in"),
    ],
)
def test_what_is_no_declaration_is_an_error(declared: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = schedule(capsys, f"data.declared={declared}")
    assert done.status == 2 and line in done.err, done.err


def test_arguments_are_checked_without_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    done = schedule(capsys, "data.dataset.ImageFolder.image_size=big")
    assert done.status == 2 and "image_size" in done.err, done.err
    done = schedule(capsys, "data.dataset.ImageFolder.imagesize=3")
    assert done.status == 2 and "no argument 'imagesize'. Did you mean 'image_size'?" in done.err


def test_text_is_not_declared(capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("PythonDocs", "{TextFile: nowhere.txt}"):
        done = schedule(capsys, f"data.dataset={dataset}", "data.declared={num_classes: 3}")
        assert done.status == 2 and "data.declared: is for data of single examples, not for text." in done.err


def test_recordings_are_planned_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedule", "sequences/time-delay", "--format", "json")
    assert steps(done) == 30 * 85  # 2,700 in batches of 32


def test_imagenet_recipes_declare_its_published_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    of_imagenet = [name for name in reading.bundled_names() if "imagenet" in str(reading.load(name).plain()["data"])]
    assert len(of_imagenet) == 9
    for name in of_imagenet:
        declared = reading.load(name).setting("data", "declared")
        assert declared == {"sizes": {"train": 1_281_167, "validation": 50_000}, "num_classes": 1000}  # ILSVRC 2012
    done = run(capsys, "lr-schedule", "cnn/alexnet", "--format", "json")
    assert steps(done) == 90 * 10_010  # ceil(1,281,167 / 128)


@pytest.mark.parametrize("name", ["Mnist", "FashionMnist", "Cifar10", "Cifar100"])
def test_published_class_sizes_are_those_of_the_published_parts(name: str) -> None:
    dataset = catalogue.find("datasets", name)()
    for part, size in dataset.sizes().items():
        each = dataset.class_sizes(part)
        assert len(each) == dataset.facts()["num_classes"] and sum(each) == size


def test_classes_of_data_to_download_are_counted_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedule", "transfer/mnist-nine", "--format", "json")
    assert steps(done) == 2 * 845  # 60,000 less 5,949 nines, in batches of 64

"""Every bundled recipe is found, has a measured header, builds, and if quick is trained to its figure."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dltool.data.generation import with_noise_as_inputs
from dltool.data.reconstruction import scaled
from dltool.data.splits import split
from dltool.data.texts import TextDataset
from dltool.data.translation import TranslationDataset
from dltool.recipe import build, reading
from dltool.recipe.data import Data, selected
from tests.command_line import run

NAMES = reading.bundled_names()
HEADER_LINES = ("Run", "Check", "Expect")
TRANSLATIONS = {"ParallelText", "NumberWords"}  # sentences, of which no layer's multiply-adds are counted
EXAMPLES = {"TextFile": "a window", "AddingProblem": "a sequence", "CopyTask": "a sequence", "LongLag": "a sequence"}
FILES = {"Mnist": (28, 28, 1), "Cifar10": (32, 32, 3), "SpokenDigits": (8000,), "DistortedMnist": (),
         "CamVid": (360, 480, 3), "Bccd": (480, 640, 3)}  # fmt: skip  # data sets of files, mostly of 10 classes
QUICK_SECONDS = 45  # by its header's own measurement
SHORTEST = {"cnn/digits"}  # trained by make test, too; two others have tests of their own below


@functools.cache
def header(name: str) -> dict[str, str]:
    """The labelled lines of a recipe's leading comment: "Run", "Check", "Expect", ..."""
    text = (reading.bundled() / f"{name}.yaml").read_text()
    comment = "\n".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    return {match[1]: match[2] for match in re.finditer(r"^([A-Z][a-z]+): +(.+)$", comment, re.MULTILINE)}


@functools.cache
def dataset_of(name: str) -> str:
    """The name of a recipe's data set."""
    return str(reading.object_name(reading.load(name).section("data", "dataset")))


def seconds(name: str) -> int:
    """How long a recipe took to train, as its header says; 0 of what was never trained."""
    told = re.search(r"(\d+) s\b", header(name)["Expect"])
    return int(told[1]) if told else 0


SIZED = [name for name in NAMES if "dltool summary" in header(name)["Check"]]  # at a paper's size, never trained here
TEXTS = [name for name in NAMES if dataset_of(name) == "TextFile"]
NEEDS_DATA = [name for name in NAMES if dataset_of(name) in {*FILES, "ParallelText"} or name in TEXTS]
LONG = [name for name in NAMES if seconds(name) > QUICK_SECONDS]
SLOW = sorted({*NEEDS_DATA, *LONG} - set(SIZED))  # minutes each on 2 cores: make slow
QUICK = sorted(set(NAMES) - set(SLOW) - set(SIZED))
READ_WHOLE = {*TEXTS, *(name for name in NAMES if dataset_of(name) == "ParallelText")}  # their facts are the texts'
CONTINUED = {name for name in NEEDS_DATA if "First" in header(name)}  # from a run of the same data


def marked(names: Iterable[str], with_data: Iterable[str]) -> list[Any]:
    """Parameters, of which some are for tests of real data."""
    return [pytest.param(name, marks=pytest.mark.data if name in with_data else ()) for name in names]


@functools.cache
def example_table() -> str:
    """The CSV of tabular/csv-example, by the command in its header."""
    from sklearn.datasets import load_diabetes

    return str(load_diabetes(as_frame=True, scaled=False).frame.to_csv(index=False))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diabetes.csv").write_text(example_table())
    return tmp_path


def test_recipes_were_found() -> None:
    assert {"cnn/digits", "mlp/digits", "lstm/digits", "tabular/csv-example", "classics/linear-regression"} <= set(
        QUICK
    )
    assert {"cnn/lenet5", "cnn/lenet5-1998", "mlp/mnist", "lstm/mnist"} <= set(SLOW)
    assert {"cnn/alexnet", "cnn/vgg16", "cnn/googlenet", "cnn/resnet50", "cnn/resnet110", "cnn/xception"} <= set(SIZED)


@pytest.mark.parametrize("name", marked(SIZED, READ_WHOLE))
def test_header_of_what_was_never_trained_says_its_size_as_counted(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    found = header(name)
    assert reading.purpose(reading.bundled() / f"{name}.yaml").endswith(".")
    assert found["Run"] == f"dltool train {name} --out runs/{name.replace('/', '-')}"
    assert found["Needs"].endswith("not trained here.")
    command = shlex.split(found["Check"])
    assert command[:3] == ["dltool", "summary", name]
    done = run(capsys, *command[1:], "--format", "json")
    assert done.status == 0, done.err
    (total,) = json.loads(done.out)["total"]
    counted = "{parameters:,} parameters, {trainable_parameters:,} of them trainable".format(**total)
    if total["multiply_adds"] is not None:
        example = EXAMPLES.get(dataset_of(name), "an image")
        counted += f"; {total['multiply_adds']:,} multiply-adds {example}"
    assert found["Expect"] == f"{counted}."


@pytest.mark.parametrize("name", sorted({*NAMES} - {*SIZED}))
def test_header_says_purpose_command_check_and_measured_figure(name: str) -> None:
    found = header(name)
    assert reading.purpose(reading.bundled() / f"{name}.yaml").endswith(".")
    assert found.keys() >= set(HEADER_LINES)
    out = f"runs/{name.replace('/', '-')}"
    assert found["Run"] == f"dltool train {name} --out {out}"
    assert found["Check"].startswith(f"dltool eval {out} --require ")
    figure = (
        r"(accuracy|exact match|mean IoU|mAP) [01]\.\d+|(RMSE|BLEU|squared error) \d+\.\d+|MSE 0\.\d+|"
        r"loss \d+\.\d+ nats|pseudo-likelihood -\d+\.\d+ nats|Frechet distance \d+\.\d+"
    )
    measured = rf"test ({figure})|w = \d\.\d+"
    assert re.search(measured, found["Expect"]) and re.search(r"\d+ s .*2 CPU cores", found["Expect"])


@pytest.mark.parametrize("name", [name for name in NAMES if "First" in header(name)])
def test_header_names_the_run_that_a_recipe_starts_from(name: str) -> None:
    """By its own recipe's command, at the place where this recipe looks for it."""
    command = shlex.split(header(name)["First"])
    assert command == shlex.split(header(command[2])["Run"])
    settings = [value.data for _, value in reading.load(name).root.walk()]
    assert command[-1] in settings


@pytest.mark.parametrize("name", [name for name in NAMES if "Judge" in header(name)])
def test_header_names_the_judge_of_its_check(name: str) -> None:
    command = shlex.split(header(name)["Judge"])
    assert command == shlex.split(header(command[2])["Run"])
    assert shlex.split(header(name)["Check"])[-2:] == ["--judge", command[-1]]


@pytest.mark.parametrize("eagerly", [True, pytest.param(False, marks=pytest.mark.recipes)])
@pytest.mark.parametrize("name", marked(sorted({*NAMES} - {*SIZED}), {*READ_WHOLE, *CONTINUED}))
def test_builds_for_its_data_and_takes_a_step(
    name: str, eagerly: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On images of noise where the data are files, whose decoding takes long; their readers have tests of their own.

    An eager step takes a tenth of the time that tracing the graph takes: make recipes does both.
    """
    # 48,000 numbers in words take seconds, and a batch is taken
    fewer = ["data.dataset.NumberWords.examples=1000"] if dataset_of(name) == "NumberWords" else []
    loaded = reading.load(name, fewer)
    if "First" in header(name):
        train_first(name, capsys, "fit.steps_per_epoch=1", "fit.epochs=1")
    build.check(loaded)
    dataset = selected(loaded, build.dataset(loaded.get("data", "dataset")))
    if isinstance(dataset, TextDataset):
        data = Data.of(loaded, dataset)
        facts, size = data.facts, data.rows or 16
        x, y = (tokens[:size, :8] for tokens in vars(data.dataset.read("train")).values())
    elif isinstance(dataset, TranslationDataset):
        data = Data.of(loaded, dataset)
        facts = data.facts
        (x, y), *_ = data.pipeline("train", 16).batches(1)
    elif dataset_of(name) == "CamVid":
        rng, facts = np.random.default_rng(0), dataset.facts()
        x, y = rng.integers(0, 256, (2, 360, 480, 3), np.uint8), rng.integers(0, 12, (2, 360, 480))
    elif dataset_of(name) == "Bccd":
        rng, facts = np.random.default_rng(0), dataset.facts()
        x = rng.integers(0, 256, (2, *facts["input_shape"]), np.uint8)
        y = np.array([[[10, 20, 60, 70, 0, 0], [90, 90, 110, 110, 2, 0], [0, 0, 0, 0, -1, 0]]] * 2, np.float32)
    elif name in NEEDS_DATA:
        shape = FILES[dataset_of(name)] or dataset.facts()["input_shape"]
        facts = {"input_shape": shape, "num_classes": 10}
        x, y = np.random.default_rng(0).integers(0, 256, (64, *shape), np.uint8), np.arange(64) % 10
        if loaded.get("data", "targets") is not None:
            y = scaled(x, dataset.pixel_range)
        if (noise := loaded.get("data", "inputs")) is not None:
            facts = with_noise_as_inputs(build.dataset(loaded.get("data", "dataset")), **noise.plain()).facts()
            x, y = np.ones((64, *facts["input_shape"]), np.float32), scaled(x, facts["pixel_range"])
    else:
        facts = dataset.facts()
        examples = dataset.read("train")
        examples = examples.take(np.arange(min(16, len(examples))))
        x, y = examples.x, examples.y
    batches = tf.data.Dataset.from_tensor_slices(x).batch(16)
    model = build.model(loaded, facts, lambda: batches)
    build.compile(loaded, model, facts, steps_per_epoch=10)
    if loaded.get("data", "inputs") is not None:
        assert build.procedure(loaded, model, 10, facts={**facts, "task": "generation"}).further_models
    model.run_eagerly = eagerly
    count = facts.get("rows", 16)
    first: Any = model.train_on_batch(tf.nest.map_structure(lambda a: a[:count], x), y[:count], return_dict=True)
    assert np.isfinite(first["loss"])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORTEST else pytest.mark.recipes) for name in QUICK]
)
def test_quick_recipe_trains_to_the_figure_of_its_header(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_and_check(name, folder, capsys)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", SLOW)
def test_slow_recipe_trains_to_the_figure_of_its_header(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_and_check(name, folder, capsys)


def train_first(name: str, capsys: pytest.CaptureFixture[str], *overrides: str, label: str = "First") -> None:
    """What the header says is to be run before, and before that, in the working directory."""
    command = shlex.split(header(name).get(label, ""))
    if not command:
        return
    assert command[:2] == ["dltool", "train"] and command[3] == "--out", "First: dltool train NAME --out runs/NAME"
    train_first(command[2], capsys, *overrides)
    done = run(capsys, *command[1:], *overrides, "--overwrite", "--quiet")
    assert done.status == 0, done.err


def train_and_check(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_first(name, capsys)
    trained = run(capsys, "train", name, "--out", folder / "run", "--quiet")
    assert trained.status == 0, trained.err
    check_figure(name, folder, capsys)


def check_figure(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the run of a recipe reaches what the recipe's header says, in the features of its judge if it has one."""
    train_first(name, capsys, label="Judge")
    check = shlex.split(header(name)["Check"])
    assert check[:2] == ["dltool", "eval"]
    checked = run(capsys, "eval", folder / "run", *check[3:])
    assert checked.status == 0, checked.err


LINES = [f"optimizers/line-{name}" for name in ("momentum", "nesterov", "batch", "minibatch", "conjugate-gradient")]


@pytest.mark.parametrize(
    "name", ["classics/linear-regression", *(pytest.param(name, marks=pytest.mark.recipes) for name in LINES)]
)
def test_linear_regression_finds_the_line_of_the_lecture(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slides 68-73: from w = 5, b = 10 to the least squares solution near w = 3, b = 2."""
    import json

    train_and_check(name, folder, capsys)
    weights = json.loads((folder / "run" / "metrics.json").read_text())["weights"]
    slope, intercept = weights["dense/kernel"][0][0], weights["dense/bias"][0]
    assert abs(slope - 3) < 0.02
    assert abs(intercept - 2) < 0.05
    examples = build.dataset(reading.load(name).get("data", "dataset")).read("train")
    solution = np.polyfit(examples.x[:, 0], examples.y, 1)
    np.testing.assert_allclose([slope, intercept], solution, atol=0.02)


def test_table_recipe_trains_in_bfloat16(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keras's own `Normalization` of a column can't be adapted in bfloat16."""
    arguments = ("fit.epochs=1", "dtype_policy=mixed_bfloat16", "--out", folder / "run", "-q")
    done = run(capsys, "train", "tabular/csv-example", *arguments)
    assert done.status == 0, done.err


@pytest.mark.slow
def test_fifty_sigmoid_layers_train_once_they_are_batch_normalised(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the header of mlp/deep-sigmoid says mends it, as it stands there; the recipe itself stays at chance."""
    mended = re.search(r"^#\s+(model\.2\.\S+)='(.+)'$", (reading.bundled() / "mlp/deep-sigmoid.yaml").read_text(), re.M)
    assert mended is not None
    override = f"{mended[1]}={mended[2]}"
    assert run(capsys, "train", "mlp/deep-sigmoid", override, "--out", folder / "run", "-q").status == 0
    assert run(capsys, "eval", folder / "run", "--require", "accuracy>=0.8").status == 0


def test_glorots_initialisation_leaves_thirty_rectified_layers_at_chance(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """He et al., 2015, figure 3: the twin of mlp/deep-relu-30 does not learn, its loss stays at ln 10."""
    import csv

    glorot = "model.2.Repeat.layers.0.Dense.kernel_initializer=glorot_uniform"
    assert run(capsys, "train", "mlp/deep-relu-30", glorot, "fit.epochs=3", "--out", folder / "run", "-q").status == 0
    with (folder / "run" / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([np.log(10)] * 3, abs=0.01)


def test_table_recipe_is_no_worse_than_linear_regression(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The independent twin: scikit-learn's linear regression on the same training and test rows."""
    import json

    import pandas as pd
    from sklearn.linear_model import LinearRegression

    train_and_check("tabular/csv-example", folder, capsys)
    found = json.loads(run(capsys, "eval", folder / "run", "--format", "json").out)["scores"][0]
    loaded = reading.load("tabular/csv-example")
    dataset = build.dataset(loaded.get("data", "dataset"))
    parts = split(dataset, validation_split=loaded.setting("data", "validation_split"))
    table = pd.read_csv(folder / "diabetes.csv")
    train, test = (table.iloc[parts[name].indices()] for name in ("train", "test"))
    line = LinearRegression().fit(train.drop(columns="target"), train["target"])
    error = np.sqrt(np.mean((line.predict(test.drop(columns="target")) - test["target"]) ** 2))
    assert found["rmse"] < 1.05 * error

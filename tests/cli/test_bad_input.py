"""What goes wrong ends in one line on stderr, the right exit status, and nothing lost or half-written."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool import errors
from dltool.cli import recipes
from dltool.recipe import reading
from dltool.runs import directory, train
from tests.command_line import Done, run, write_quick


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad-input")
    file = write_quick(folder)
    train.train(reading.load(file), out=folder / "finished")
    return folder / "finished"


@pytest.fixture
def copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, in the current folder; its recipe is quick.yaml."""
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path)
    shutil.copytree(finished, tmp_path / "run")
    return Path("run")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_one_line(done: Done, status: int, message: str) -> None:
    assert done.status == status, done.err
    assert done.out == ""
    assert message in done.err
    assert done.err.startswith("dltool: ") and done.err.count("\n") == 1, done.err
    assert "fault of dltool" not in done.err


# -- the run directory -----------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "model.keras",
            truncate,
            "model.keras: is cut short or damaged. Make it from the run's saved state: dltool",
        ),
        (
            "model.keras",
            Path.unlink,
            "model.keras: is missing. Make it from the run's saved state: dltool train run",
        ),
        ("data.json", truncate, "data.json: is damaged ("),
        ("data.json", lambda path: path.write_text("[]"), "data.json: is damaged (not a JSON object)"),
        ("recipe.yaml", Path.unlink, "run: is not a run directory (it has no recipe.yaml)"),
        (
            "recipe.yaml",
            lambda path: path.write_text("a: [1"),
            "run/recipe.yaml:1:6: the run's recipe is damaged",
        ),
        (
            "recipe.yaml",
            lambda path: path.write_bytes(b"\xff\xfe\0x"),
            "run/recipe.yaml:1:1: the run's recipe is",
        ),
    ],
)
def test_eval_names_the_damaged_file_of_a_run(
    name: str, damage: Callable, message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(copy / name)
    check_one_line(run(capsys, "eval", copy), 5, message)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("checkpoint/state.npz", truncate, "state.npz: is damaged ("),
        ("checkpoint/state.npz", lambda p: np.savez(p, a=np.zeros(3)), "state.npz: is damaged ("),
        ("checkpoint/best-2.npz", Path.unlink, "best-2.npz: is missing. Train again with --overwrite."),
        ("environment.json", lambda p: p.write_text("{}"), "environment.json: is damaged (no 'sessions')."),
        ("data.json", truncate, "data.json: is damaged ("),
        ("recipe.yaml", lambda p: p.write_text("a: [1"), "recipe.yaml:1:6: the run's recipe is damaged"),
    ],
)
def test_resume_names_the_damaged_file_and_touches_nothing(
    name: str, damage: Callable, message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(copy / name)
    before = contents(copy)
    check_one_line(run(capsys, "train", "quick.yaml", "--out", copy, "--resume"), 5, message)
    assert contents(copy) == before


def test_resume_makes_what_is_missing_but_the_state(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import keras

    weights = keras.models.load_model(copy / "model.keras").get_weights()
    for name in (
        "model.keras",
        "metrics.json",
        "data.json",
        "environment.json",
        "history.csv",
        "history.png",
    ):
        (copy / name).unlink()
    assert run(capsys, "train", copy, "--resume", "-q").status == 0
    of_others = (
        "checkpoint",
        "plugins",
        directory.DISCRIMINATOR,
        directory.FILTERS,
        directory.BASES,
        directory.VOCABULARY,
        *directory.PERCENTILES,
    )
    assert all((copy / name).is_file() for name in directory.OWN if name not in of_others)
    again = keras.models.load_model(copy / "model.keras").get_weights()
    assert all(map(np.array_equal, weights, again))


def test_a_lambda_layer_is_refused_and_its_code_does_not_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import keras

    def code(x):
        Path("code-ran").touch()
        return x

    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Lambda(code),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
    model = keras.Sequential(layers)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(copy / "model.keras")
    Path("code-ran").unlink()
    check_one_line(run(capsys, "eval", copy), 5, "run/model.keras: holds a Lambda layer")
    assert not Path("code-ran").exists()


@pytest.mark.parametrize(
    ("shape", "outputs", "compiled", "message"),
    [
        ((4,), 10, True, "model.keras: does not fit the data: "),
        ((8, 8, 1), 4, True, "model.keras: gives 4 outputs, the data have 10 classes."),
        ((8, 8, 1), 10, False, "model.keras: has no loss to evaluate."),
    ],
    ids=["inputs", "labels out of range", "not compiled"],
)
def test_a_model_that_does_not_fit_the_data_is_refused(
    shape: tuple, outputs: int, compiled: bool, message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(outputs)])
    if compiled:
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(copy / "model.keras")
    check_one_line(run(capsys, "eval", copy), 5, message)


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere", "nowhere: no such run directory"), ("quick.yaml", "is not a run directory")],
)
def test_eval_of_no_run(path: str, message: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_one_line(run(capsys, "eval", path), 5, message)


# -- where to write ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--out", "run"], 2, "run: exists already. Use --overwrite to replace it, --resume to go on"),
        (
            ["--out", "mine", "--overwrite"],
            2,
            "mine: is not a run directory (no recipe.yaml), so --overwrite leaves",
        ),
        (["--out", "quick.yaml"], 2, "quick.yaml: is a file. Give another --out."),
        (["--out", "quick.yaml/run"], 2, "quick.yaml is a file, no folder. Give another --out."),
        (["--out", "/proc/run"], 2, "/proc/run: cannot be written"),
        (["--resume"], 2, "--resume needs the run: give --out RUN"),
        (["--resume", "--out", "nowhere"], 5, "nowhere: no such run directory"),
        (["--resume", "--out", "mine"], 5, "mine: is not a run directory (it has no recipe.yaml)"),
        (["--resume", "--overwrite"], 2, "--resume and --overwrite exclude each other"),
        (["--accept-changes"], 2, "--accept-changes goes with --resume"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_and_not_touched(
    arguments: list[str], status: int, message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    before = contents(Path())
    check_one_line(run(capsys, "train", "quick.yaml", *arguments), status, message)
    assert contents(Path()) == before


def test_an_error_of_the_recipe_that_shows_late_keeps_the_run_to_be_overwritten(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(copy)
    for override, message in (
        ("fit.callbacks=[{EarlyStopping: {monitor: nothing}}]", "monitors 'nothing', which is not measured"),
        ("model.3=Dense: 4", "model[3]: gives 4 outputs, the data have 10 classes."),
        ("compile.loss=BinaryCrossentropy", "compile.loss: does not fit the model's outputs"),
        ("compile.metrics=[F1Score]", "compile.metrics.F1Score: gives 10 figures, one a class. Set average to macro"),
        ("fit.steps_per_epoch=1000", "fit.steps_per_epoch: must be at most 21"),
    ):
        done = run(capsys, "train", "quick.yaml", override, "--out", copy, "--overwrite")
        check_one_line(done, 2, message)
        assert contents(copy) == before
        assert run(capsys, "train", "quick.yaml", override, "--out", "new").status == 2
        assert not Path("new").exists(), "an empty directory was left"


def test_a_full_disk_leaves_no_temporary_file_and_no_half_run(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory.os, "fsync", no_space)
    full = "cannot be written: No space left on device. The disk is full: free some space."
    check_one_line(run(capsys, "train", "quick.yaml", "--out", "new"), 1, f"new/dltool.json: {full}")
    check_one_line(run(capsys, "eval", copy, "--predictions", "p.csv"), 1, f"p.csv: {full}")
    assert not Path("new").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["quick.yaml", "run"]


# -- data ---------------------------------------------------------------------------------------------------

IMAGES = """\
# A net on a folder of images.
data: {dataset: {ImageFolder: {path: images, image_size: [12, 12]}}, validation_split: 0.2}
model:
  - Rescaling: 0.004
  - Conv2D: {filters: 4, kernel_size: 3}
  - GlobalAveragePooling2D
  - Dense: ${data.num_classes}
compile: {optimizer: Adam, loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [accuracy]}
fit: {epochs: 1, batch_size: 4}
"""


def write_images(folder: Path, each: int = 10) -> None:
    generator = np.random.default_rng(0)
    for level, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            rows, columns = generator.integers(16, 40, 2)
            pixels = generator.integers(100 * level, 100 * level + 100, (rows, columns, 3)).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{index:02}.{'jpg' if index % 2 else 'png'}")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    Path("images.yaml").write_text(IMAGES)
    return Path("images")


def empty_class(folder: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "status", "message"),
    [
        (shutil.rmtree, 2, "images.yaml:2:18: data.dataset.ImageFolder: No path images"),
        (empty_class, 5, "images/dog holds no images: fill or remove it."),
        (
            lambda f: (f / "dog/02.png").write_text("text"),
            5,
            "images/dog/02.png is no JPEG, PNG, GIF, BMP, WebP image",
        ),
        (lambda f: shutil.rmtree(f / "dog"), 5, "images"),
    ],
    ids=["missing", "empty class", "no image", "one class"],
)
def test_a_broken_image_folder_is_named_before_anything_is_written(
    damage: Callable, status: int, message: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(images)
    check_one_line(run(capsys, "train", "images.yaml", "--out", "run"), status, message)
    assert not Path("run").exists()


def test_a_truncated_image_in_the_middle_of_training_is_named_and_its_repair_resumed(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {path: path.read_bytes() for path in (images / "dog").glob("*.jpg")}  # no dog is in the first batch
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 3])
    check_one_line(
        run(capsys, "train", "images.yaml", "--out", "run"),
        5,
        ".jpg is no readable image (Truncated File Read)",
    )
    for path, data in whole.items():
        path.write_bytes(data)
    done = run(capsys, "train", "run", "--resume", "-q")
    assert (done.status, done.out) == (0, "run\n")
    assert run(capsys, "eval", "run", "--data", "ImageFolder: images").status == 0  # size, order as in the run


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.zip", b"PK\x03\x04 cut", "a.zip is cut short or damaged"),
        ("a.tar.gz", gzip.compress(b"no archive", mtime=0)[:15], "a.tar.gz"),
    ],
)
def test_a_damaged_archive_is_named(
    name: str, data: bytes, message: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(data)
    override = f"data.dataset.ImageFolder.path={name}"
    check_one_line(run(capsys, "train", "images.yaml", override, "--out", "run"), 5, message)


def test_truncated_mnist_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mnist").mkdir()
    for part, count in (("train", 200), ("t10k", 20)):
        pixels = struct.pack(">IIII", 2051, count, 28, 28) + bytes(count * 784)
        labels = struct.pack(">II", 2049, count) + bytes(i % 10 for i in range(count))
        Path(f"mnist/{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pixels, mtime=0))
        Path(f"mnist/{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
    override = "data.dataset={Mnist: mnist}"
    assert run(capsys, "train", "quick.yaml", override, "--out", "whole").status == 0
    truncate(Path("mnist/train-images-idx3-ubyte.gz"))
    done = run(capsys, "train", "quick.yaml", override, "--out", "cut")
    check_one_line(done, 5, "mnist/train-images-idx3-ubyte.gz is cut short or damaged")
    assert not Path("cut").exists()


def test_one_sigmoid_output_for_three_classes_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("three.npz", x=np.zeros((30, 2), "float32"), y=np.arange(30) % 3)
    arguments = ["data.dataset={Npz: three.npz}", "model=[{Dense: 1}]", "compile.loss=BinaryCrossentropy"]
    done = run(capsys, "train", "quick.yaml", *arguments, "--out", "new")
    check_one_line(done, 2, "model[0]: gives 1 output, the data have 3 classes.")


def test_a_table_without_feature_space_is_explained(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("a,y\n" + "".join(f"{i % 7},{'xy'[i % 2]}\n" for i in range(40)))
    done = run(capsys, "train", "quick.yaml", "data.dataset={Csv: {path: t.csv, target: y}}", "--out", "new")
    check_one_line(done, 2, "begin the model with - FeatureSpace: ${data.features}")


# -- data that have moved, and odd names ---------------------------------------------------------------------


ARRAYS = """\
data: {dataset: {Npz: "~/x.npz"}, validation_split: 0.1}
model: [{Dense: 2}]
compile: {optimizer: SGD, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1}
"""


@pytest.fixture
def from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, in the current folder, on ~/x.npz; the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    np.savez(home / "x.npz", x=np.zeros((40, 3), "float32"), y=np.arange(40) % 2)
    file = write_quick(tmp_path, text=ARRAYS)
    train.train(reading.load(file), out=Path("run"))
    return home


def test_a_run_on_data_of_the_home_folder_can_be_evaluated(
    from_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reading.load("run/recipe.yaml").setting("data", "dataset") == {"Npz": {"path": str(from_home / "x.npz")}}
    monkeypatch.setenv("HOME", "/nowhere")
    done = run(capsys, "eval", "run")
    assert (done.status, done.err) == (0, "")


def test_data_that_a_run_names_and_that_are_gone_are_missing_data(
    from_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (from_home / "x.npz").rename(from_home / "y.npz")
    message = f"run: its data are gone: {from_home / 'x.npz'} does not exist. Put it back, or say where it is now"
    check_one_line(run(capsys, "eval", "run"), 5, message)
    check_one_line(run(capsys, "train", "run", "--resume"), 5, message)
    path = f"data.dataset.Npz.path={from_home / 'y.npz'}"
    assert run(capsys, "eval", "run", "--data", f"Npz: {from_home / 'y.npz'}").status == 0
    assert run(capsys, "train", "run", "--resume", "--accept-changes", path, "fit.epochs=2").status == 0


def test_a_wrong_override_of_a_run_s_data_is_the_user_s(from_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "run", "--resume", "data.dataset.Npz.path=no.npz")
    check_one_line(done, 2, "No file no.npz")


@pytest.mark.parametrize("name", ["größe", "-x", "1", "_", ".a", "a b (2)", "日本", "a.b"])
def test_a_recipe_file_may_have_any_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.zeros((8, 3), "float32"), y=np.arange(8) % 2)
    Path(f"./{name}.yaml").write_text(ARRAYS.replace("~/", "").replace(", validation_split: 0.1", ""))
    done = run(capsys, "train", f"./{name}.yaml", "--quiet")
    assert (done.status, done.out, done.err) == (0, f"runs/{name}\n", "")


LONG = "x" * 300  # beyond NAME_MAX


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", LONG),
        ("train", "quick.yaml", "--out", LONG),
        ("train", f"{LONG}.yaml"),
        ("eval", LONG),
        ("eval", "run", "--predictions", LONG),
        ("recipes", "copy", "mlp/digits", LONG),
    ],
)
def test_a_name_too_long_for_a_file_is_bad_usage(
    arguments: tuple[str, ...], copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_one_line(run(capsys, *arguments), 2, LONG)


# -- --traceback ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.RecipeError([errors.Problem(errors.Place("r.yaml", 1, 1), "fit", "is wrong")]), 2),
        (errors.RequirementError("accuracy is 0.1"), 3),
        (errors.DataError("no data"), 5),
        (errors.InterruptedRun("saved", 15), 143),
        (errors.Terminated(), 143),
        (MemoryError(), 1),
        (RuntimeError("a fault"), 1),
    ],
)
def test_traceback_adds_to_stderr_and_changes_no_status(
    raised: BaseException, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise raised

    monkeypatch.setattr(recipes, "listing", fails)
    plain, traced = (run(capsys, "recipes", *options) for options in ((), ("--traceback",)))
    assert (plain.status, traced.status) == (status, status)
    assert traced.err.startswith("Traceback") and traced.err.endswith(plain.err)
    assert "Traceback" not in plain.err and (plain.out, traced.out) == ("", "")


def test_traceback_of_bad_usage_keeps_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "recipes", "--format", "xml", "--traceback")
    assert done.status == 2
    assert "Traceback" in done.err and "Invalid value for '--format'" in done.err.splitlines()[-1]

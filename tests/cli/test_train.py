"""train: what it prints and writes, what resuming, overwriting, divergence and callbacks do."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dltool.cli import app
from dltool.errors import Terminated
from tests.command_line import BARE_KERAS, QUICK, run, spawn, trained, write_quick


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of quick.yaml, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    trained(write_quick(folder), "--out", folder / "a")
    return folder / "a"


@pytest.fixture
def a(finished: Path, inside: None) -> None:
    """The working directory holds a finished run "a" of quick.yaml."""
    shutil.copytree(finished, "a")


def history(folder: str) -> list[dict[str, str]]:
    with Path(folder, "history.csv").open() as file:
        return list(csv.DictReader(file))


def weights(folder: str) -> list[np.ndarray]:
    import keras

    return keras.models.load_model(Path(folder, "model.keras")).get_weights()


def test_the_run_directory_holds_what_the_readme_says(
    pictures_of_history: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    done = run(capsys, "train", "quick.yaml")
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == "runs/quick"
    assert [line[:9] for line in done.err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    metrics, data, environment = (
        json.loads(Path("runs/quick", f"{name}.json").read_text()) for name in ("metrics", "data", "environment")
    )
    columns = ["epoch", "step", "seconds", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]
    rows = history("runs/quick")
    assert list(rows[0]) == columns
    assert [row["step"] for row in rows] == ["21", "42"]  # 1,293 examples / 64, rounded up
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert metrics["selected"]["epoch"] == int(best["epoch"])
    assert metrics["validation"]["loss"] == pytest.approx(float(best["val_loss"]), rel=1e-5)
    assert metrics["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert metrics["examples"] == {"train": 1293, "validation": 144, "test": 360}
    assert (data["num_classes"], data["train_size"]) == (10, 1293)
    (session,) = environment["sessions"]
    assert session["seed"] == 1 and {"dltool", "keras", "tensorflow"} <= set(session["versions"])
    with Image.open("runs/quick/history.png") as picture:
        picture.load()
        assert picture.width > 600
    assert list(Path("runs").rglob(".*")) == []


def test_json_and_csv_are_all_of_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "quick.yaml", "--out", "a", "--format", "json")
    report = json.loads(done.out)
    assert report["training"][0]["run"] == "a"
    assert [row["split"] for row in report["figures"]] == ["train", "validation", "test"]
    done = run(capsys, "train", "quick.yaml", "--out", "a", "--overwrite", "--format", "csv")
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [row["run"] for row in rows] == ["a", "a", "a"]
    assert float(rows[2]["accuracy"]) == report["figures"][2]["accuracy"], "the same seed gives the same model"


def test_the_resolved_recipe_runs_again_to_the_same_model(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    np.savez("arrays.npz", x=x, y=(x[:, 0] > 0).astype(int))
    Path("child.yaml").write_text("extends: quick.yaml\ndata: {dataset: {Npz: arrays.npz}}\ndeterministic: true\n")
    assert run(capsys, "train", "child.yaml", "model.2.Dense.units=3", "--out", "a", "-q").out == "a\n"
    assert f"path: {Path.cwd()}/arrays.npz" in Path("a/recipe.yaml").read_text()
    Path("else").mkdir()
    os.chdir("else")
    assert run(capsys, "train", "../a/recipe.yaml", "--out", "b", "-q").out == "b\n"
    assert all(map(np.array_equal, weights("../a"), weights("b")))


def test_default_directories_count_up_and_overwrite_takes_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outs = [run(capsys, "train", "quick.yaml", "fit.epochs=1", "-q", *more).out for more in ([], [], ["--overwrite"])]
    assert outs == ["runs/quick\n", "runs/quick-2\n", "runs/quick\n"]
    assert run(capsys, "train", "runs/quick-2", "--overwrite", "-q").out == "runs/quick-2\n"


def test_resuming_a_finished_run_prints_its_table_again(capsys: pytest.CaptureFixture[str]) -> None:
    first = run(capsys, "train", "quick.yaml", "--out", "a", "--format", "csv")
    again = run(capsys, "train", "a", "--resume", "--format", "csv")
    assert (again.status, again.out, again.err) == (0, first.out, "")


@pytest.mark.usefixtures("a")
def test_a_changed_recipe_is_shown_and_refused_until_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("a/recipe.yaml").read_text()
    done = run(capsys, "train", "quick.yaml", "fit.epochs=3", "--out", "a", "--resume")
    assert (done.status, done.out) == (2, "")
    assert "  fit.epochs: 2 -> 3\n" in done.err and "--accept-changes" in done.err
    assert Path("a/recipe.yaml").read_text() == before
    done = run(capsys, "train", "a", "fit.epochs=3", "--resume", "--accept-changes")
    assert done.status == 0
    assert done.err.startswith("dltool: changed since: fit.epochs: 2 -> 3\nepoch 3/3 ")
    assert [row["epoch"] for row in history("a")] == ["1", "2", "3"]


@pytest.mark.usefixtures("a")
@pytest.mark.parametrize(
    ("override", "status"),
    [
        ("model.2.Dense.units=8", 2),
        ("compile.optimizer={SGD: 0.1}", 2),
        ("fit.callbacks=[{EarlyStopping: {patience: 1}}]", 2),
        ("data.validation_split=0.2", 5),
    ],
)
def test_what_a_state_cannot_go_on_with_is_refused_and_the_run_stays_as_it_was(
    override: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()}
    done = run(capsys, "train", "a", override, "fit.epochs=3", "--resume", "--accept-changes")
    assert (done.status, done.out) == (status, ""), done.err
    assert "Train again with another --out." in done.err.splitlines()[-1]
    assert {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()} == before


RATE = "{PiecewiseConstantDecay: {boundaries: [42], values: [0.1, 1e30]}}"
DIVERGING = [f"compile.optimizer={{SGD: {{learning_rate: {RATE}}}}}"]  # in the third epoch of 21 steps


def test_divergence_keeps_the_last_good_model_and_state(capsys: pytest.CaptureFixture[str]) -> None:
    good = run(capsys, "train", "quick.yaml", *DIVERGING, "--out", "good", "-q")
    assert good.status == 0, good.err  # two epochs of 21 steps at 0.1
    done = run(capsys, "train", "quick.yaml", *DIVERGING, "fit.epochs=5", "--out", "a")
    assert (done.status, done.out) == (4, "")
    message = done.err.splitlines()[-1]
    assert message.startswith("dltool: loss became ") and " at step 4" in message and "(epoch 3, batch " in message
    assert "The model of epoch 2 and the state after epoch 2 are in a." in message
    assert all(map(np.array_equal, weights("a"), weights("good")))
    assert run(capsys, "eval", "a").status == 0
    sane = "compile.optimizer.SGD.learning_rate.PiecewiseConstantDecay.values=[0.1, 0.01]"
    done = run(capsys, "train", "a", sane, "--resume", "--accept-changes", "-q")
    assert done.status == 0, done.err
    assert len(history("a")) == 5


def test_divergence_in_the_first_epoch_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "quick.yaml", "compile.optimizer={SGD: 1e30}", "--out", "a")
    assert (done.status, done.out) == (4, "")
    assert "(epoch 1, batch " in done.err and "No epoch was complete. Lower the learning rate" in done.err
    assert run(capsys, "eval", "a").status == 5


@pytest.mark.usefixtures("a")
def test_a_changed_learning_rate_is_the_one_that_training_goes_on_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rate = "compile.optimizer.Adam.learning_rate=0.001"
    run(capsys, "train", "a", rate, "fit.epochs=3", "--resume", "--accept-changes", "-q")
    assert [round(float(row["learning_rate"]), 6) for row in history("a")] == [0.005, 0.005, 0.001]


def test_callbacks_write_below_the_run_directory(capsys: pytest.CaptureFixture[str]) -> None:
    callbacks = (
        "fit.callbacks=[{CSVLogger: log.csv}, {ModelCheckpoint: 'epochs/{epoch}.keras'}, "
        "TerminateOnNaN, {ReduceLROnPlateau: {monitor: val_loss}}, {EarlyStopping: {monitor: val_loss}}]"
    )
    done = run(capsys, "train", "quick.yaml", callbacks, "--out", "a", "-q")
    assert done.status == 0, done.err
    assert len(Path("a/log.csv").read_text().splitlines()) == 3
    assert sorted(path.name for path in Path("a/epochs").iterdir()) == ["1.keras", "2.keras"]
    assert sorted(path.name for path in Path().iterdir()) == ["a", "quick.yaml"], "nothing elsewhere"


def test_every_callback_of_keras_is_found_by_name_and_trains(capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.recipe import catalogue

    arguments = {
        "ActivationPercentiles": "{layer: dense}",
        "CSVLogger": "{filename: log.csv}",
        "ModelCheckpoint": "{filepath: best.keras, monitor: val_loss, save_best_only: true}",
        "WeightTrajectory": "{weights: 'dense/kernel[0,3]'}",
        "SwapEMAWeights": None,  # needs an optimizer with use_ema
        "RemoteMonitor": None,  # sends over a network
        "OrbaxCheckpoint": None,  # needs a package
        "TensorBoard": "{log_dir: board}" if importlib.util.find_spec("tensorboard") else None,
    }
    known = [name for name in catalogue.known("callbacks") if arguments.get(name, "") is not None]
    assert {"EarlyStopping", "ReduceLROnPlateau", "TerminateOnNaN"} <= set(known)
    entries = [f"{{{name}: {arguments[name]}}}" if name in arguments else name for name in known]
    done = run(capsys, "train", "quick.yaml", f"fit.callbacks=[{', '.join(entries)}]", "--out", "a", "-q")
    assert done.status == 0, done.err


def test_a_process_says_nothing_but_its_results() -> None:
    """No messages of TensorFlow, Keras or absl, no warnings: in train, and in eval of a table of strings.

    TensorFlow warns of functions traced again, and takes those of several models for one: it counts to five.
    """
    rows = [f"{i % 7},{'red' if i % 3 else 'green'},{'yes' if i % 7 > 3 else 'no'}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["size,colour,label", *rows]) + "\n")
    text = QUICK.replace("dataset: Digits", "dataset: {Csv: {path: t.csv, target: label}}")
    text = text.replace("- Rescaling: 0.0625\n  - Flatten", "- FeatureSpace: ${data.features}")
    Path("table.yaml").write_text(text.replace("model.2", "model.1"))
    out, err = (process := spawn("train", "table.yaml", "--out", "a", "-q")).communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "a\n", "")
    command = ["eval", *["a"] * 6, "--format", "csv", "--predictions", "p.csv"]
    out, err = (process := spawn(*command)).communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("run,split,examples,loss,accuracy,")
    assert len(out.splitlines()) == 1 + 6 + 1
    # the saved file alone, in another process, gives the same
    program = BARE_KERAS + (
        "import csv, keras, numpy as np\n"
        "model = keras.models.load_model('a/model.keras')\n"
        "rows = list(csv.DictReader(open('t.csv')))\n"
        "x = {'size': np.array([float(r['size']) for r in rows], 'float32'),"
        " 'colour': np.array([r['colour'] for r in rows])}\n"
        "x = {name: keras.ops.convert_to_tensor(v) if name == 'size' else v for name, v in x.items()}\n"
        "import tensorflow as tf\n"
        "p = tf.nn.softmax(model({'size': x['size'], 'colour': tf.constant(x['colour'])})).numpy()\n"
        "np.save('p.npy', p)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    found = np.load("p.npy")
    with Path("p.csv").open() as file:
        held = [[float(row[f"probability_{name}"]) for name in ("no", "yes")] for row in csv.DictReader(file)]
    distances = np.abs(found[None] - np.array(held)[:, None]).max(axis=2).min(axis=1)
    assert len(held) == 12 and distances.max() < 1e-5


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_a_callback_whose_package_is_missing_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "quick.yaml", "fit.callbacks=[TensorBoard]", "--out", "a")
    assert (done.status, done.out) == (2, "")
    assert "fit.callbacks[0].TensorBoard: needs the package tensorboard: pip install" in done.err
    assert not Path("a").exists()


@pytest.mark.parametrize(("signalled", "status"), [(KeyboardInterrupt, 130), (Terminated, 143), (OSError, 1)])
def test_a_signal_that_an_extension_wraps_while_it_is_imported_is_still_one(
    signalled: type[BaseException], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ImportError("initialization failed")
    error.__cause__ = signalled()
    assert app._report(error) == status
    assert ("fault of dltool" in capsys.readouterr().err) == (status == 1)


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_before_training_leaves_nothing(number: signal.Signals, status: int, word: str) -> None:
    process = spawn("train", "quick.yaml", "--out", "a")
    time.sleep(1.5)  # TensorFlow is loading
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert not Path("a").exists()
    # a shell sees the same status when Python, interrupted amid an import, ends itself by the signal
    assert process.returncode in (status, -number)
    if process.returncode == status:
        assert err.splitlines()[-1] == f"dltool: {word}"
        assert "Traceback" not in err

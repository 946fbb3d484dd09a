"""dltool visualize-filters: every mode on small runs, the files that it leaves, and what it says of mistakes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.cli import app
from tests import command_line
from tests.command_line import QUICK, Done, run, write_quick

CNN = """\
# A small convolutional net for tests.
data: {dataset: Digits, validation_split: 0.1}
model:
  - Rescaling: 0.0625
  - Conv2D: {filters: 6, kernel_size: 5, padding: same, activation: relu, name: first}
  - MaxPooling2D
  - Conv2D: {filters: 5, kernel_size: 3, activation: relu, name: second}
  - Flatten
  - Dense: {units: "${data.num_classes}", activation: softmax, name: head}
compile: {optimizer: {Adam: {learning_rate: 1e-2}}, loss: SparseCategoricalCrossentropy, metrics: [accuracy]}
fit:
  epochs: 3
  batch_size: 64
  callbacks:
    - ModelCheckpoint: {filepath: 'epochs/{epoch:03d}.keras'}
seed: 1
"""


def trained(folder: Path, text: str) -> Path:
    with pytest.raises(SystemExit) as ended:
        app.main(["train", str(write_quick(folder, text=text)), "--out", str(folder / "run"), "-q"])
    assert not ended.value.code
    return folder / "run"


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("cnn"), CNN)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cnn/lenet5 after 3 epochs of scikit-learn's digits, enlarged to MNIST's 28 x 28."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("lenet")
    x, y = load_digits(return_X_y=True)
    x = np.minimum(x * 16, 255).astype(np.uint8).reshape(-1, 8, 8, 1).repeat(3, axis=1).repeat(3, axis=2)
    np.savez(folder / "digits.npz", x_train=np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))), y_train=y)
    data = f"data.dataset={{Npz: {{path: {folder}/digits.npz}}}}"
    command_line.trained("cnn/lenet5", data, "fit.epochs=3", "--out", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("mlp"), QUICK)


Show = Callable[..., Done]


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Show:
    """visualize-filters into tmp_path / "out", replacing what is there."""

    def command(path: Path, *arguments: object) -> Done:
        return run(capsys, "visualize-filters", path, "--out", tmp_path / "out", "--overwrite", *arguments)

    return command


def rows(done: Done, section: str = "units") -> list[dict]:
    assert done.status == 0, done.err
    return json.loads(done.out)[section]


def files(folder: Path) -> set[str]:
    """The files of a folder, whose manifest must list them, and its page show the pictures."""
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {path.name for path in folder.iterdir()}
    assert {*manifest["files"], "manifest.json"} == found
    page = (folder / "index.html").read_text()
    assert all(f'src="{one["file"]}"' in page for one in manifest["pictures"])
    return found - {"manifest.json", "index.html"}


def test_kernels_are_the_default(cnn: Path, show: Show, tmp_path: Path) -> None:
    done = show(cnn, "--format", "json")
    units = rows(done)
    assert [(row["layer"], row["unit"]) for row in units] == [
        *(("first", unit) for unit in range(6)),
        *(("second", unit) for unit in range(5)),
    ]
    assert 0 <= units[0]["orientation_degrees"] < 180 and units[6]["gabor_r2"] is None
    assert [row["kernel"] for row in rows(done, "layers")] == ["5 x 5 x 1", "3 x 3 x 6"]
    assert files(tmp_path / "out") == {"kernels-first.png", "kernels-second.png"}


def test_norms_are_those_of_the_model(cnn: Path, show: Show) -> None:
    import keras

    units = rows(show(cnn, "--format", "json", "--layers", "second", "--units", "1,3:"))
    kernel = keras.models.load_model(cnn / "model.keras").get_layer("second").kernel.numpy()
    assert [row["unit"] for row in units] == [1, 3, 4]
    for row in units:
        assert row["norm"] == pytest.approx(np.linalg.norm(kernel[..., row["unit"]]), rel=1e-5)


@pytest.mark.parametrize("arguments", [[], ["--mode", "top", "--steps", "2", "--examples", "99", "--layers", "second"]])
def test_no_value_is_broken_on_a_terminal_of_80_columns(
    cnn: Path, show: Show, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    done = show(cnn, *arguments, "--units", "0:3")
    assert done.status == 0, done.err
    lines = [line.split("│") for line in done.out.splitlines() if line.startswith("│")]
    assert len(lines) >= 6
    assert all(cells[2].strip() for cells in lines)  # a value that goes on below leaves its neighbours empty
    assert max(len("│".join(cells)) for cells in lines) <= 80
    assert ("Gabor functions" in done.out) == (not arguments)


def test_checkpoints_make_a_film(cnn: Path, show: Show, tmp_path: Path) -> None:
    assert show(cnn, "--checkpoints", "--layers", "first").status == 0
    assert files(tmp_path / "out") == {"kernels-first.png", "kernels-first.gif"}
    assert Image.open(tmp_path / "out" / "kernels-first.gif").n_frames == 4  # 3 epochs and the selected one


def test_maximised_units_exceed_the_training_data_s_best(cnn: Path, show: Show, tmp_path: Path) -> None:
    done = show(cnn, "--mode", "maximise", "--snapshots", 3, "--steps", 128, "--format", "json")
    units = rows(done)
    assert [row["unit"] for row in units] == list(range(5))  # of the last convolution
    assert all(row["activation"] > row["best_training_image"] and row["exceeds"] for row in units)
    assert rows(done, "layers")[0]["sees"] == "10 x 10"  # 5 + 1 + (3 - 1) * 2
    assert files(tmp_path / "out") == {"maximised-second.png", "maximised-second.gif"}


def test_lenet_s_second_convolution_is_maximised_beyond_its_training_data_and_by_less_with_a_blur(
    lenet: Path, show: Show
) -> None:
    arguments = ("--mode", "maximise", "--format", "json")
    plain = show(lenet, *arguments)
    (layer,) = rows(plain, "layers")
    assert (layer["layer"], layer["maximised"]) == ("conv2d_1", 16)
    assert layer["share_that_exceeds"] >= 0.9
    sharp, blurred = (
        np.array([row["activation"] for row in rows(done)]) for done in (plain, show(lenet, *arguments, "--blur", 0.5))
    )
    assert np.median(blurred / sharp) > 0.7 and (blurred > 0.5 * sharp).all()
    assert blurred.mean() < sharp.mean()


def test_a_linear_first_layer_s_images_have_the_directions_of_its_kernels(
    cnn: Path, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from dltool.filters import maximised_pictures

    found = []
    climb = maximised_pictures.maximise
    monkeypatch.setattr(maximised_pictures, "maximise", lambda *a, **o: found.append(climb(*a, **o)) or found[-1])
    plain = ("--bound", "norm", "--l2", 0, "--total-variation", 0)
    assert show(cnn, "--mode", "maximise", "--layers", "first", *plain).status == 0
    kernels = keras.models.load_model(cnn / "model.keras").get_layer("first").kernel.numpy()
    assert found[0].images.shape == (6, 1, 8, 8, 1)
    for unit, (image,) in enumerate(found[0].images[..., 0]):
        # the unit in the middle of 8 x 8 sees 2 pixels to each side; beyond them lies the data's mean
        deviation, kernel = (image[2:7, 2:7] - image[0, 0]).ravel(), kernels[..., 0, unit].ravel()
        assert deviation @ kernel / np.linalg.norm(deviation) / np.linalg.norm(kernel) > 0.99


def test_class_logits_are_maximised_before_the_softmax(cnn: Path, show: Show) -> None:
    done = show(cnn, "--mode", "maximise", "--layers", "head", "--units", "7", "--steps", 64, "--examples", 300,
                "--jitter", 1, "--rotation", 5, "--scale", 0.1, "--diversity", 2, "--format", "json")  # fmt: skip
    units = rows(done)
    assert [(row["class"], row["image"]) for row in units] == [("7", 0), ("7", 1)]
    assert all(row["best_training_image"] > 1 for row in units)  # a probability is at most 1
    assert "300 training examples" in done.err


def test_feature_maps_of_given_images(cnn: Path, show: Show, tmp_path: Path) -> None:
    import keras

    array = np.random.default_rng(0).integers(0, 256, (2, 8, 8), np.uint8)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path, image in zip(paths, array, strict=True):
        Image.fromarray(image).save(path)
    done = show(cnn, "--mode", "activations", "--layers", "first", "--format", "json", "--images", *paths)
    model = keras.models.load_model(cnn / "model.keras")
    part = keras.Model(model.inputs, model.get_layer("first").output)
    maps = part(array[..., None] / 255 * 16).numpy()  # Digits' pixels are 0 to 16
    for row in rows(done):
        one = maps["ab".index(row["image"][0]), ..., row["unit"]]
        assert row["max"] == pytest.approx(one.max(), abs=1e-5)
        assert row["share_above_0"] == pytest.approx((one > 0).mean())
    assert files(tmp_path / "out") == {"activations-first-a.png.png", "activations-first-b.png.png"}


def test_images_of_one_name_in_two_folders_stay_apart(
    cnn: Path, show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, level in (("x", 40), ("y", 200)):
        Path(folder).mkdir()
        Image.fromarray(np.full((8, 8), level, np.uint8)).save(f"{folder}/a.png")
    done = show(cnn, "--mode", "activations", "--layers", "first", "--units", 0, "--format", "json",
                "--images", "x/a.png", "y/a.png", "y/a.png")  # fmt: skip
    assert [row["image"] for row in rows(done)] == ["x/a.png", "y/a.png"]
    assert files(tmp_path / "out") == {"activations-first-x-a.png.png", "activations-first-y-a.png.png"}


def test_the_strongest_patches_are_of_the_examples_named(cnn: Path, show: Show, tmp_path: Path) -> None:
    import keras

    done = show(cnn, "--mode", "top", "--units", "2", "--steps", 32, "--format", "json")
    row = rows(done)[0]
    model = keras.models.load_model(cnn / "model.keras")
    part = keras.Model(model.inputs, model.get_layer("second").output)
    from dltool.recipe.data import Data
    from dltool.runs import resume
    from dltool.runs.directory import RunDirectory

    recipe = resume.own_recipe(RunDirectory(cnn))
    data = Data.of(recipe, resume.own_dataset(recipe, RunDirectory(cnn)))
    x = np.concatenate([batch.numpy() for batch, _ in data.pipeline("train", 512).batches()])
    best = part.predict(x, verbose=0)[..., 2].max(axis=(1, 2))
    numbers = [int(number) for number in row["examples"].split()]
    assert len(numbers) == 9
    np.testing.assert_allclose(best[numbers], np.sort(best)[::-1][:9], rtol=1e-4)
    assert row["strongest"] == pytest.approx(best.max(), rel=1e-4)  # positive, so that the ReLU changes nothing
    assert files(tmp_path / "out") == {"top-second.png"}


def test_attribution_has_a_figure_a_method(cnn: Path, show: Show, tmp_path: Path) -> None:
    done = show(cnn, "--mode", "attribution", "--method", "gradient,guided", "--examples", 2, "--format", "json")
    methods = rows(done, "methods")
    assert [row["method"] for row in methods] == ["gradient", "guided"]
    assert all(0 <= row["deletion"] <= 1 for row in methods)
    assert len(rows(done, "images")) == 4
    assert files(tmp_path / "out") == {"attribution.png"}


def test_attribution_says_which_class_was_predicted_and_which_is_true(cnn: Path, show: Show) -> None:
    import keras

    from dltool.library.datasets.digits import Digits

    test = Digits().read("test") if "test" in Digits().sizes() else None
    predicted = None if test is None else keras.models.load_model(cnn / "model.keras").predict(test.x[:8], verbose=0)
    arguments = ("--mode", "attribution", "--method", "gradient", "--examples", 8, "--target", "3", "--format", "json")
    images = rows(show(cnn, *arguments), "images")
    assert [row["class"] for row in images] == ["3"] * 8
    assert len({row["true"] for row in images}) > 3
    if predicted is not None:
        assert [row["true"] for row in images] == [str(label) for label in test.y[:8]]
        assert [row["predicted"] for row in images] == [str(label) for label in predicted.argmax(axis=-1)]


def test_the_table_says_that_guided_and_deconvnet_fail_as_they_are_known_to(cnn: Path, show: Show) -> None:
    arguments = ("--mode", "attribution", "--method", "gradient,guided,deconvnet", "--examples", 16, "--format", "json")
    methods = {row["method"]: row for row in rows(show(cnn, *arguments), "methods")}
    verdicts = {name: row["random_weights_check"] for name, row in methods.items()}
    assert verdicts == {"gradient": "pass", "guided": "fail", "deconvnet": "fail"}
    known = {name: row["known"] for name, row in methods.items()}
    said = {"guided": "fails (Adebayo et al., 2018)", "deconvnet": "fails (Sixt et al., 2020)"}
    assert known == {"gradient": None, **said}
    few = ("--mode", "attribution", "--method", "guided,deconvnet", "--examples", 1)
    printed = show(cnn, *few).out.split("random-weights check in the literature")[1].split("\n\n")[0]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line[0:1] == "│"]
    assert lines == [list(pair) for pair in said.items()]


def test_inversion_and_dream_change_images(cnn: Path, show: Show, tmp_path: Path) -> None:
    done = show(cnn, "--mode", "inversion", "--layers", "first", "--examples", 2, "--steps", 64, "--format", "json")
    assert all(row["relative_error"] < row["relative_error_of_noise"] for row in rows(done, "images"))
    assert files(tmp_path / "out") == {"inversion.png"}
    done = show(cnn, "--mode", "dream", "--layers", "first", "--units", "1", "--octaves", 1, "--examples", 1,
                "--format", "json")  # fmt: skip
    assert all(row["mean_square_after"] > row["mean_square_before"] for row in rows(done, "images"))
    assert files(tmp_path / "out") == {"dream.png"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode", "maximise", "--steps", "20", "--jitter", "1", "--rotation", "9", "--snapshots", "2"],
        ["--mode", "top", "--steps", "10", "--units", "0:2"],
    ],
)
def test_equal_seeds_give_equal_bytes(cnn: Path, show: Show, tmp_path: Path, arguments: list[str]) -> None:
    contents = []
    for seed in (4, 4, 5):
        assert show(cnn, *arguments, "--seed", seed).status == 0
        pictures = sorted(files(tmp_path / "out"))
        contents.append([(tmp_path / "out" / name).read_bytes() for name in pictures])
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[2][0]


def test_nested_models_are_opened(cnn: Path, show: Show, tmp_path: Path) -> None:
    import keras
    from keras import layers

    path = tmp_path / "nested"
    shutil.copytree(cnn, path)
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu", name="conv")], name="in")
    x = keras.Input((8, 8, 1))
    y = layers.Dense(10)(layers.Flatten()(layers.Conv2D(2, 3, name="last")(inner(x))))
    keras.Model(x, y).save(path / "model.keras")
    assert [row["layer"] for row in rows(show(path, "--format", "json"))] == ["in/conv"] * 3 + ["last"] * 2
    layers_ = ("--layers", "in/*", "--layers", "last")
    done = show(path, "--mode", "top", *layers_, "--units", "1", "--steps", 8, "--format", "json")
    assert [row["layer"] for row in rows(done)] == ["in/conv", "last"]
    assert files(tmp_path / "out") == {"top-in-conv.png", "top-last.png"}


def test_a_dense_first_layer_shows_images(mlp: Path, show: Show) -> None:
    done = show(mlp, "--format", "json")
    assert rows(done, "layers")[0] | {"median_gabor_r2": 0} == {
        "layer": "dense", "type": "Dense", "units": 16, "drawn": 16, "kernel": "8 x 8 x 1", "dead": 0,
        "near_duplicates": 0, "median_gabor_r2": 0,
    }  # fmt: skip
    assert show(mlp, "--mode", "maximise", "--layers", "dense", "--steps", 8).status == 0


def test_a_head_behind_a_recurrent_layer_shows_no_images(tmp_path: Path, show: Show) -> None:
    """The LSTM's 64 units are as many as the input has pixels, but they are none."""
    text = QUICK.replace(
        "  - Flatten\n  - Dense: {units: 16, activation: relu}\n", "  - Reshape: [8, 8]\n  - LSTM: 64\n"
    )
    path = trained(tmp_path, text.replace("epochs: 2", "epochs: 1"))
    done = show(path, "--format", "json")
    assert [(row["layer"], row["kernel"]) for row in rows(done, "layers")] == [("dense", "1 x 64 x 1")]
    assert "gabor_r2" not in rows(done)[0]


def test_frozen_convolutions_are_looked_at_too(cnn: Path, show: Show, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "frozen"
    shutil.copytree(cnn, path)
    model = keras.models.load_model(path / "model.keras")
    for name in ("first", "second"):
        model.get_layer(name).trainable = False
    model.save(path / "model.keras")
    done = show(path, "--mode", "maximise", "--steps", 2, "--units", 0, "--examples", 64, "--format", "json")
    assert rows(done)[0]["layer"] == "second"


def test_numbers_of_units_are_whole_though_some_units_have_no_other(cnn: Path, show: Show, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "single"
    shutil.copytree(cnn, path)
    x = keras.Input((8, 8, 1))
    y = keras.layers.Conv2D(3, 3)(keras.layers.Conv2D(1, 3)(x))
    keras.Model(x, keras.layers.Dense(10)(keras.layers.Flatten()(y))).save(path / "model.keras")
    done = show(path, "--format", "csv")
    nearest = [line.split(",")[4] for line in done.out.splitlines()[1:]]
    assert nearest[0] == "" and all(one in "012" for one in nearest[1:])


def test_a_signal_s_maps_lie_as_the_signal_does(tmp_path: Path, show: Show) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 20, 3)).astype(np.float32), rng.integers(0, 2, 80)
    np.savez(tmp_path / "signals.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    text = QUICK.replace(
        "dataset: Digits\n  validation_split: 0.1", f"dataset: {{Npz: {{path: {tmp_path}/signals.npz}}}}"
    )
    text = text.replace("  - Rescaling: 0.0625\n", "  - Conv1D: {filters: 4, kernel_size: 5, activation: relu}\n")
    path = trained(tmp_path, text)
    done = show(path, "--mode", "attribution", "--method", "gradient", "--examples", 2, "--terminal")
    assert done.status == 0, done.err
    blocks = [line.count("▀") for line in done.out.splitlines() if "▀" in line]
    # four tiles of 3 channels x 20 positions: two lines of half blocks each, three tiles beside each other in 80
    assert blocks == [60, 60, 20, 20]
    done = show(path, "--mode", "dream")
    assert done.status == 2 and "dream is for images" in done.err.splitlines()[-1]


def test_attribution_of_a_regression_is_refused(tmp_path: Path, show: Show) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 8, 8, 1)).astype(np.float32), rng.normal(size=80)
    np.savez(tmp_path / "numbers.npz", x_train=x, y_train=y)
    text = QUICK.replace("dataset: Digits", f"dataset: {{Npz: {{path: {tmp_path}/numbers.npz}}}}")
    text = text.replace("Dense: ${data.num_classes}", "Dense: 1").replace("[accuracy]", "[MeanAbsoluteError]")
    text = text.replace("{SparseCategoricalCrossentropy: {from_logits: true}}", "MeanSquaredError")
    done = show(trained(tmp_path, text), "--mode", "attribution")
    assert done.status == 2 and done.err.count("\n") == 1 and "is no classifier" in done.err


def test_pictures_in_the_terminal_come_after_the_table(cnn: Path, show: Show, tmp_path: Path) -> None:
    done = show(cnn, "--terminal", "--layers", "first")
    table, _, rest = done.out.partition("first: kernels (Conv2D, 5 x 5 x 1)\n")
    assert "layers" in table and "▀" not in table
    assert rest.count("▀") == 6 * 3 * 5  # six kernels of 5 x 5: three lines of half blocks each
    assert done.out.endswith(f"{tmp_path / 'out' / 'index.html'}\n")


def test_pictures_go_into_the_run_by_default_and_are_not_replaced_unasked(
    cnn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(capsys, "visualize-filters", cnn, "--layers", "first", "--format", "csv")
    assert first.status == 0
    assert first.out.startswith("layer,unit,norm,")
    assert files(cnn / "filters" / "kernels") == {"kernels-first.png"}
    again = run(capsys, "visualize-filters", cnn)
    assert again.status == 2 and "exists already. Use --overwrite" in again.err


def test_only_its_own_files_are_replaced(cnn: Path, show: Show, tmp_path: Path) -> None:
    assert show(cnn).status == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert show(cnn, "--layers", "first").status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "kernels-first.png", "index.html", "manifest.json", "notes.txt",
    }  # fmt: skip
    (tmp_path / "out" / "manifest.json").unlink()
    done = show(cnn)
    assert done.status == 2 and "holds no pictures of visualize-filters" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing half-written beside it


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--layers", "frst"], 2, "--layers: no layer matches 'frst'. Did you mean 'first'?"),
        (["--layers", "flat*"], 2, "no layer has kernels to draw. Layers with kernels: first, second, head."),
        (["--units", "6"], 2, "--units '6': layer first has no such unit; it has 0 to 5"),
        (["--units", "a:b"], 2, "write numbers and ranges of units"),
        (["--mode", "maximise", "--layers", "nope"], 2, "no layer matches 'nope'"),
        (["--mode", "maximise", "--images", "a.png"], 2, "--images goes with --mode activations or attribution"),
        (["--steps", "3"], 2, "--steps goes with --mode dream or inversion or maximise or top, not kernels"),
        (["--mode", "maximise", "--fourier", "--blur", "1"], 2, "Leave one of them out"),
        (["--mode", "attribution", "--method", "magic"], 2, "--method magic: no such method"),
        (["--mode", "attribution", "--target", "cat"], 2, "--target cat: no such class"),
        (["--mode", "activations", "--images", "nowhere.png"], 5, "nowhere.png: does not exist"),
        (["--mode", "activations", "--images", "wide.png"], 5, "wide.png: is 4 x 9 x 1, the model takes 8 x 8 x 1"),
        (["--mode", "activations", "--images", "coloured.png"], 5, "is coloured, the model takes grey images"),
        (["--terminal", "--format", "csv"], 2, "--terminal goes with --format table"),
        (["--mode", "maximise", "--rate", "-1"], 2, "--rate -1: must be above 0"),
        (["--mode", "maximise", "--rate", "nan"], 2, "--rate nan: must be a finite number"),
        (["--mode", "maximise", "--l2", "inf"], 2, "--l2 inf: must be a finite number"),
        (["--mode", "maximise", "--steps", "2", "--snapshots", "3"], 2, "--snapshots 3: are more than --steps 2"),
        (["--mode", "maximise", "--snapshots", "400"], 2, "--snapshots 400: are more than --steps 256, the default"),
        (["--units", ""], 2, "--units '': write numbers and ranges of units"),
        (["--mode", "dream", "--units", ""], 2, "--units '': write numbers and ranges of units"),
        (["--mode", "activations", "--images", "empty.npy"], 5, "empty.npy: is no readable .npy file"),
        (["--mode", "attribution", "--images", "nan.npy"], 5, "nan.npy: holds NaN"),
        (["--mode", "fourth"], 2, "Invalid value for '--mode'"),
    ],
)
def test_mistakes_are_one_line(
    cnn: Path, show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((4, 9), np.uint8)).save("wide.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("coloured.png")
    Path("empty.npy").write_bytes(b"")
    np.save("nan.npy", np.full((8, 8, 1), np.nan))
    done = show(cnn, *arguments)
    assert (done.status, done.out) == (status, ""), done.err
    errors = [line for line in done.err.splitlines() if " looking through " not in line and " maximising " not in line]
    assert len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_no_image_model_is_said(tmp_path: Path, show: Show) -> None:
    text = QUICK.replace("dataset: Digits", "dataset: {Csv: {path: t.csv, target: y}}")
    text = text.replace("- Rescaling: 0.0625\n  - Flatten\n", "- FeatureSpace: ${data.features}\n")
    lines = [f"{i % 7},{i % 5},{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    path = trained(tmp_path, text.replace("t.csv", str(tmp_path / "t.csv")))
    done = show(path, "--mode", "maximise")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1 and "is no image model" in done.err


def test_checkpoints_that_were_not_kept_and_a_folder_that_is_no_run_are_said(
    mlp: Path, show: Show, tmp_path: Path
) -> None:
    done = show(mlp, "--checkpoints")
    assert done.status == 2 and "has kept none. Train with the callback ModelCheckpoint" in done.err
    done = show(tmp_path)
    assert done.status == 5 and "is not a run directory" in done.err


def test_without_gif_a_film_is_refused_before_any_work(
    cnn: Path, show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "init", lambda: None)
    monkeypatch.setattr(Image, "SAVE_ALL", {})
    for arguments in (["--checkpoints"], ["--mode", "maximise", "--snapshots", "3"]):
        done = show(cnn, *arguments)
        assert done.status == 2 and "Pillow was built without GIF" in done.err
        assert len(done.err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.data
def test_lenet_s_second_convolution_is_maximised_beyond_the_training_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], show: Show
) -> None:
    path = tmp_path / "lenet5"
    assert run(capsys, "train", "cnn/lenet5", "fit.epochs=2", "--out", path, "-q").status == 0
    done = show(path, "--mode", "maximise", "--format", "json")
    assert rows(done, "layers")[0]["layer"] == "conv2d_1"
    assert rows(done, "layers")[0]["share_that_exceeds"] >= 0.9

"""Made images: their figures against SciPy and by hand, and the sheets of generate."""

from __future__ import annotations

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.linalg import sqrtm

from dltool.runs.image_generator import ImageGenerator
from dltool.runs.opened import OpenedRun
from dltool.tasks import _generation
from tests.command_line import QUICK, run, trained, write_quick

GAN = """\
# Digits by class.
data: {dataset: Digits, inputs: {noise: 3, classes: true}}
model:
  - Dense: {units: 64, activation: sigmoid}
  - Reshape: ${data.target_shape}
compile: {optimizer: Adam, loss: SlicedWasserstein}
procedure:
  Adversarial:
    discriminator: [Flatten, {Dense: "${data.num_classes}"}]
    optimizer: Adam
fit: {batch_size: 128}
seed: 1
"""
VAE = """\
# Digits of a code.
data: {dataset: Digits, targets: inputs}
model:
  - Rescaling: 0.0625
  - Flatten
  - Dense: 8
  - GaussianSampling: {name: code}
  - Dense: 64
  - Reshape: ${data.input_shape}
compile: {optimizer: Adam, loss: BernoulliLikelihood}
fit: {batch_size: 128}
seed: 1
"""
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generators")
    for name, recipe in (("gan", GAN), ("vae", VAE), ("judge", QUICK)):
        trained(write_quick(folder, f"{name}.yaml", recipe), "fit.epochs=1", "--out", folder / name)
    return folder


def test_frechet_distance_is_the_formula_with_scipys_matrix_root() -> None:
    one = RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6))
    other = 2 + RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6))
    c1, c2 = (np.cov(features, rowvar=False) for features in (one, other))
    root = sqrtm(c1 @ c2).real
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert _generation.compute_frechet_distance(one, other) == pytest.approx(expected, rel=1e-8)
    assert _generation.compute_frechet_distance(one, one[::-1]) == pytest.approx(0, abs=1e-9)
    assert _generation.compute_frechet_distance(one, one + 3) == pytest.approx(6 * 9)  # six features shifted by 3


def test_frechet_distance_with_a_feature_that_never_varies_is_finite() -> None:
    """|2 - 0|^2 of the constant feature; the other is N(0, 1) against N(0, 4): (2 - 1)^2."""
    normal = RNG.normal(size=4000)
    normal = (normal - normal.mean()) / normal.std(ddof=1)
    one, other = np.stack([normal, 0 * normal], 1), np.stack([2 * normal, 0 * normal + 2], 1)
    assert _generation.compute_frechet_distance(one, other) == pytest.approx(4 + 1)


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_eval_compares_made_images_with_the_splits_in_a_judges_features(
    home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", home / name, "--judge", home / "judge", "--format", "json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    (figures,) = report["scores"]
    data, judge = OpenedRun(home / name).data, OpenedRun(home / "judge").model
    size = data.splits["test"].size
    known = np.concatenate([y for _, y in data.pipeline("train", 500).batches()])
    order = np.random.default_rng(_generation.SEED).permutation(len(known))[:size]
    test = np.concatenate([y for _, y in data.pipeline("test", 500).batches()])
    kernels = judge.layers[-2].get_weights()  # of 16 features, relu

    def features(images: np.ndarray) -> np.ndarray:
        return np.maximum(images.reshape(len(images), -1) @ kernels[0] + kernels[1], 0).astype(np.float64)

    floor = _generation.compute_frechet_distance(features(known[order]), features(test))
    assert figures["frechet_floor"] == pytest.approx(floor, rel=1e-3)
    assert figures["frechet_ratio"] == pytest.approx(figures["frechet_distance"] / figures["frechet_floor"])
    assert figures["frechet_distance"] > 5 * floor  # after one epoch
    made = [row["made"] for row in report["shares"]]
    assert (
        sum(made) == pytest.approx(1)
        and figures["largest_share"] == max(made) >= min(made) == figures["smallest_share"]
    )
    counted = np.bincount(judge.predict(16 * test, verbose=0).argmax(1), minlength=10) / size
    np.testing.assert_allclose([row["real"] for row in report["shares"]], counted, atol=1e-6)


def test_a_run_keeps_a_generator_of_noise_and_class_and_a_discriminator_of_images(home: Path) -> None:
    generator, discriminator = (
        keras.models.load_model(home / "gan" / f"{f}.keras") for f in ("model", "discriminator")
    )
    images = generator(np.concatenate([np.zeros((3, 3)), np.eye(10)[[1, 2, 3]]], axis=1))
    assert images.shape == (3, 8, 8, 1) and discriminator(images).shape == (3, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "gan", "x.png"], "gan: makes images of noise. Use dltool generate."),
        (["eval", "judge", "--judge", "judge"], "--judge: means nothing for runs that make no images"),
        (["eval", "gan", "--judge", "vae"], "--judge: vae is no classifier of images of the shape [8, 8, 1]"),
        (["generate", "gan"], "--out: gan draws images. Give a file: --out samples.png."),
        (["generate", "gan", "--out", "x.png", "--class", "12"], "--class 12: gan knows no such class."),
        (["generate", "vae", "--out", "x.png", "--class", "1"], "--class: vae is told no class"),
        (
            ["generate", "vae", "--out", "x.png", "--rows", "3"],
            "--rows: means nothing here: vae: makes images of codes",
        ),
        (["generate", "gan", "--out", "x.png", "--prompt", "a"], "--prompt: means nothing here"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    done = run(capsys, *arguments)
    assert done.status == 2 and message in done.err, done.err
    assert not Path("x.png").exists()


def test_samples_of_a_class_each_in_turn_or_one_and_walks_are_pictures_with_a_row_for_each(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "turns": ["--samples", "12"],
        "one": ["--samples", "3", "--class", "7"],
        "walk": ["--samples", "2", "--walk", "4"],
        "near": ["--samples", "3", "--neighbours"],
    }
    tables, sizes = {}, {}
    for name, given in options.items():
        done = run(capsys, "generate", home / "gan", *given, "--out", tmp_path / f"{name}.png", "--format", "json")
        assert done.status == 0, done.err
        tables[name] = json.loads(done.out)["samples"]
        sizes[name] = Image.open(io.BytesIO((tmp_path / f"{name}.png").read_bytes())).size
    assert [row["class"] for row in tables["turns"]] == [*"012345678901"]
    assert [row["class"] for row in tables["one"]] == ["7"] * 3
    assert [row["class"] for row in tables["walk"]] == [*"00001111"]
    assert sizes["turns"][0] > 10 * 56 and sizes["walk"][1] > 2 * 56
    maker = ImageGenerator.find(OpenedRun(home / "gan"), "auto")
    assert maker is not None
    images = maker.draw(3, seed=0)
    known = np.concatenate([y for _, y in maker.run.data.pipeline("train", 500).batches()])
    far = np.linalg.norm(known.reshape(len(known), -1)[None] - images.reshape(3, 1, -1), axis=2)
    assert [row["neighbour"] for row in tables["near"]] == far.argmin(axis=1).tolist()
    np.testing.assert_allclose([row["distance"] for row in tables["near"]], far.min(axis=1), rtol=1e-3)
    np.testing.assert_allclose([row["mean"] for row in tables["near"]], images.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_a_walk_begins_and_ends_at_drawn_codes_and_keeps_their_length(home: Path) -> None:
    maker = ImageGenerator.find(OpenedRun(home / "vae"), "auto")
    assert maker is not None
    codes: list[np.ndarray] = []
    maker = ImageGenerator(maker.run, _generation.Generator(lambda z, training: codes.append(z.numpy()) or z, 4))
    vars(maker.generator)["_forward"] = lambda z: codes.append(z) or z
    maker.walk(rows=1, steps=5, seed=3)
    ends = np.random.default_rng(3).standard_normal((2, 4), np.float32)
    np.testing.assert_allclose(codes[0][[0, -1]], ends, rtol=1e-5)
    lengths = np.linalg.norm(codes[0], axis=1)
    low, high = sorted(np.linalg.norm(ends, axis=1))
    assert (lengths > 0.8 * low).all() and (lengths < 1.2 * high).all()


def test_a_decoder_is_the_layers_after_the_code_and_gives_probabilities_of_pixels(home: Path) -> None:
    model = OpenedRun(home / "vae").model
    generator = _generation.Generator.find(model, {"input_shape": (8, 8, 1)})
    assert generator is not None and generator.units == 4
    codes = generator.draw_codes(5, seed=2)
    kernel, bias = model.layers[-2].get_weights()
    expected = 1 / (1 + np.exp(-(codes @ kernel + bias)))
    np.testing.assert_allclose(generator.make(codes).reshape(5, 64), expected, rtol=1e-5)

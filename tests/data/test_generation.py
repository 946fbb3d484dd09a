"""Noise as inputs and images as targets: in memory and streamed, with classes and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.data.generation import with_noise_as_inputs
from dltool.library.datasets.digits import Digits
from dltool.library.datasets.image_folder import ImageFolder
from dltool.library.datasets.line import Line


def test_inputs_are_normal_noise_and_the_class_and_targets_are_pixels_from_0_to_1() -> None:
    dataset = with_noise_as_inputs(Digits(), 20, classes=True)
    facts, given, made = dataset.facts(), Digits().read("train"), dataset.read("train")
    assert facts["input_shape"] == (30,) and facts["target_shape"] == (8, 8, 1) and facts["noise"] == 20
    assert facts["num_classes"] == 10 and dataset.task == "generation"
    np.testing.assert_allclose(made.y, np.asarray(given.x, np.float32) / 16)
    np.testing.assert_array_equal(made.x[:, 20:], np.eye(10)[np.asarray(given.y)])
    noise = made.x[:, :20]
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    np.testing.assert_array_equal(dataset.read("train").x, made.x)
    again = dataset.as_trained(facts)
    np.testing.assert_array_equal(again.read("train").x, made.x)


def test_without_classes_a_generator_is_told_nothing_of_them() -> None:
    dataset = with_noise_as_inputs(Digits(), 5)
    assert dataset.read("train").x.shape == (1797, 5)
    assert not {"num_classes", "class_names"} & dataset.facts().keys() and dataset.class_counts("train") is None


def test_a_stream_of_image_files_gives_the_same_noise_in_each_pass_and_scaled_pixels(tmp_path: Path) -> None:
    colours = {"cat": 0, "dog": 255}
    for name, colour in colours.items():
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("L", (4, 4), colour).save(tmp_path / name / f"{number}.png")
    folder = ImageFolder(str(tmp_path), image_size=[4, 4], color_mode="grayscale")
    dataset = with_noise_as_inputs(folder, 3, classes=True)
    passes = [[(x.numpy(), y.numpy()) for x, y in dataset.stream("train", np.arange(4))] for _ in range(2)]
    for (x, y), (again, _) in zip(*passes, strict=True):
        assert x.shape == (5,) and y.shape == (4, 4, 1) and (y == x[4]).all()  # dogs are white
        np.testing.assert_array_equal(x, again)
    assert len({x[0] for x, _ in passes[0]}) == 4


@pytest.mark.parametrize(
    ("dataset", "arguments", "message"),
    [
        (Line, {"noise": 3, "classes": True}, "has not one class an example"),
        (Digits, {"noise": 0}, "'inputs.noise' parameter of the data must be an int > 0"),
        (Digits, {"noise": 3, "classes": 1}, "'inputs.classes' parameter of the data must be true or false"),
    ],
)
def test_data_that_do_not_suit_are_refused(dataset: type, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_noise_as_inputs(dataset(), **arguments)  # type: ignore[arg-type]

"""DistortedMnist: pixels by a formula worked out here, digits and fragments found again, images repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltool.library.datasets.distorted_mnist import PART_SEEDS, DistortedMnist, clutter, distort
from dltool.library.datasets.mnist import Mnist


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST's files with 24 and 6 bright shapes in place of digits."""
    path = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 24), ("test", 6)):
        x = np.zeros((count, 28, 28), np.uint8)
        x[:, 5:23, 6:21] = rng.integers(1, 256, (count, 18, 15))
        arrays |= {f"x_{part}": x, f"y_{part}": np.arange(count) % 10}
    np.savez(path / "mnist.npz", **arrays)
    return path


def test_pixels_are_read_where_the_formula_says(folder: Path) -> None:
    digits = Mnist(folder).read("test").x[..., 0].astype(float)
    found = DistortedMnist(seed=5, path=folder).read("test").x[..., 0]
    assert found.shape == (6, 42, 42)
    rng = np.random.default_rng([5, PART_SEEDS["test"]])
    angles = np.deg2rad(rng.uniform(-45, 45, 6))
    scales = rng.uniform(0.7, 1.2, 6)
    shifts = rng.uniform(-1, 1, (6, 2)) * (42 - 28 * scales[:, None]) / 2
    for number in range(6):
        padded = np.pad(digits[number], 1)
        for row in range(42):
            for column in range(42):
                r, c = np.array([row, column]) - 20.5 - shifts[number]
                cosine, sine = np.cos(angles[number]), np.sin(angles[number])
                down = 13.5 + (cosine * r - sine * c) / scales[number] + 1
                across = 13.5 + (sine * r + cosine * c) / scales[number] + 1
                expected = 0.0
                if 0 <= down <= 29 and 0 <= across <= 29:
                    i, j = min(int(down), 28), min(int(across), 28)
                    a, b = down - i, across - j
                    upper = (1 - b) * padded[i, j] + b * padded[i, j + 1]
                    expected = (1 - a) * upper + a * ((1 - b) * padded[i + 1, j] + b * padded[i + 1, j + 1])
                assert abs(found[number, row, column] - expected) <= 0.51


def test_a_digit_among_fragments_is_whole_and_the_rest_are_squares_of_others(folder: Path) -> None:
    digits = Mnist(folder).read("train").x[..., 0]
    bare = DistortedMnist("cluttered", fragments=0, path=folder).read("train").x[..., 0]
    full = DistortedMnist("cluttered", path=folder).read("train").x[..., 0]
    assert full.shape == (24, 60, 60)
    places = set()
    for digit, image in zip(digits, bare, strict=True):
        rows, columns = np.nonzero(image)
        ink = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        np.testing.assert_array_equal(ink, digit[5:23, 6:21])  # moved by whole pixels
        places.add((rows.min() - 5, columns.min() - 6))
    assert len(places) > 15
    assert all(0 <= low <= 32 for place in places for low in place)
    assert (full >= bare).all()
    extra = [(image > digit).sum() for image, digit in zip(full, bare, strict=True)]
    assert 0 < max(extra) <= 6 * 64


def test_no_fragment_is_of_the_digit_itself() -> None:
    digits = np.stack([np.full((28, 28), 10, np.uint8), np.full((28, 28), 20, np.uint8)])
    image = clutter(digits, np.random.default_rng(0), 3)[1]
    assert (image == 20).sum() == 28 * 28  # squares of 10 beneath do not show
    assert {*np.unique(image)} == {0, 10, 20}


def test_a_digit_keeps_its_ink_as_far_as_its_scale_tells() -> None:
    digits = np.zeros((200, 28, 28), np.uint8)
    digits[:, 9:19, 9:19] = 200
    found = distort(digits, np.random.default_rng(1))
    factors = found.sum(axis=(1, 2)) / digits[0].sum()
    assert 0.7**2 - 0.02 < factors.min() < 0.55
    assert 1.3 < factors.max() < 1.2**2 + 0.02


def test_images_repeat_by_seed_and_differ_by_part(folder: Path) -> None:
    first, again, other = (DistortedMnist(seed=seed, path=folder).read("train") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x, again.x)
    assert np.any(first.x != other.x)
    np.testing.assert_array_equal(first.y, Mnist(folder).labels("train"))
    assert DistortedMnist("cluttered", path=folder).facts()["input_shape"] == (60, 60, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "noise"}, "'kind' parameter of DistortedMnist must be one of 'rotation-translation-scale'"),
        ({"fragments": -1}, "'fragments' parameter of DistortedMnist must be an int >= 0. Got -1"),
        ({"seed": 1.5}, "'seed' parameter of DistortedMnist"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistortedMnist(**arguments)

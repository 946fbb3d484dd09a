"""Npz: names, kinds and lengths of arrays, and damage."""

import numpy as np
import pytest

from dltool.datasets import npy_headers
from dltool.datasets.npz import Npz

X = np.arange(24.0).reshape(6, 4)


def _npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return Npz(folder / "a.npz")


@pytest.mark.parametrize("word", ["val", "valid", "validation"])
def test_parts_are_told_from_names(tmp_path, word):
    arrays = {f"x_{word}": X[:2], f"y_{word}": np.array([5, 1])}
    dataset = _npz(tmp_path, x_train=X, y_train=np.arange(6) % 3, **arrays)
    assert dataset.sizes() == {"train": 6, "validation": 2}
    assert dataset.facts() == {"input_shape": (4,), "num_classes": 6}  # the largest class is in validation
    assert dataset.labels("validation").tolist() == [5, 1]


def test_x_and_y_alone_are_the_train_part(tmp_path):
    dataset = _npz(tmp_path, x=X, y=np.linspace(0, 1, 12).reshape(6, 2))
    assert dataset.sizes() == {"train": 6} and dataset.task == "regression"
    assert dataset.facts() == {"input_shape": (4,), "num_targets": 2}
    assert dataset.read("train").y.dtype == np.float32


def test_a_column_of_classes_is_flattened(tmp_path):
    dataset = _npz(tmp_path, x=X.astype(np.uint8), y=np.array([[0], [1], [2], [0], [1], [2]], np.uint8))
    examples = dataset.read("train")
    assert examples.y.shape == (6,) and examples.y.dtype == np.int32 and examples.x.dtype == np.uint8


def test_sizes_and_shapes_do_not_read_arrays(tmp_path, monkeypatch):
    dataset = _npz(tmp_path, x=X, y=np.linspace(0, 1, 6))
    monkeypatch.setattr(npy_headers, "array", lambda *_: pytest.fail("an array was read"))
    assert dataset.sizes() == {"train": 6} and dataset.facts() == {"input_shape": (4,), "num_targets": 1}


Y = np.arange(6) % 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X}, "holds no array 'y_train' beside 'x_train'"),
        ({"a": X}, "holds no 'x_train' and 'y_train'"),
        ({"x_train": X, "y_train": Y, "x_tset": X}, "unknown array 'x_tset'. Did you mean 'x_test'"),
        ({"x_train": X, "y_train": Y, "x_val": X, "y_val": Y, "x_valid": X}, "validation part twice"),
        ({"x": X, "y": Y[:5]}, "'x' has 6 examples but 'y' has 5"),
        ({"x": X, "y": Y - 1}, "'y' holds the class -1"),
        ({"x": X, "y": np.array(["a"] * 6)}, "'y' holds <U1 values, not numbers"),
        ({"x": X, "y": np.array([None] * 6)}, "'y' holds object values|no readable"),
        ({"x": X, "y": np.array([np.nan] * 6)}, "NaN or infinite"),
        ({"x": np.float32(3), "y": Y}, r"'x' has shape \(\), no examples"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
            r"'x_test' has shape \(2,\), of 'x_train' \(4,\)",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y / 2},
            "'y_test' is float64 but 'y_train' is int64",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as caught:
        dataset = _npz(tmp_path, **arrays)
        dataset.sizes(), dataset.facts(), dataset.read("train")
    assert "\n" not in str(caught.value) and "a.npz" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 300, -30])
def test_a_truncated_file_is_named(tmp_path, keep):
    dataset = _npz(tmp_path, x=np.zeros((50, 50)), y=np.arange(50))
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="a.npz is no readable .npz file"):
        dataset.sizes()


def test_damage_within_an_array_is_named(tmp_path):
    dataset = _npz(tmp_path, x=np.zeros((50, 50)), y=np.arange(50))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[5000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    assert dataset.sizes() == {"train": 50}
    with pytest.raises(ValueError, match="the array 'x' cannot be read"):
        dataset.read("train")

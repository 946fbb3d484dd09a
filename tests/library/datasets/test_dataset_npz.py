"""Npz: names, kinds and lengths of arrays, and damage."""

import io
import re
import zipfile

import numpy as np
import pytest

from dltool.data.formats import npy_headers
from dltool.library.datasets.npz import Npz

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


ROWS = np.eye(3, dtype=np.int64)[[0, 1, 2, 0, 1, 1]]
SEVERAL = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 1, 0], [1, 0, 0]])
PIXELS = np.zeros((6, 4, 5, 1), np.uint8)
MASKS = np.arange(6 * 4 * 5).reshape(6, 4, 5) % 2


@pytest.mark.parametrize(
    ("x", "y", "classes"),
    [
        (X, ROWS, 3),
        (X, ROWS.astype(bool), 3),
        (X, ROWS.astype("float32"), 3),  # as keras.utils.to_categorical gives them
        (X[:, :3], ROWS, 3),
        (X, ROWS[:, :2] * 0 + [1, 0], 2),  # of two, one of which is not shown
        (X, SEVERAL, 3),  # independent labels
        (np.zeros((6, 3), int), SEVERAL, 2),  # three steps, a class each
        (np.zeros((6, 3, 7)), SEVERAL, 2),
        (X, np.arange(12).reshape(6, 2) % 5, 5),
        (PIXELS, MASKS, 2),  # a class a pixel
        (PIXELS, np.eye(4, dtype=int)[MASKS + 1], 4),
        (np.zeros((6, 4), int), np.eye(4, dtype=int)[MASKS[..., 0]], 4),  # a class a step, one-hot
        (X, np.array([[0], [1]] * 3), 2),
    ],
)
def test_columns_of_zeros_and_ones_are_a_class_each(tmp_path, x, y, classes):
    dataset = _npz(tmp_path, x=x, y=y)
    assert dataset.task == "classification" and dataset.facts()["num_classes"] == classes
    labels = dataset.read("train").y
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels.reshape(y.shape), y)


@pytest.mark.parametrize("y", [np.full((6, 3), 1 / 3), np.eye(3)[[0, 1, 2, 0, 1, 1]] * 0.9, np.linspace(0, 1, 6)])
def test_other_floats_are_numbers(tmp_path, y):
    dataset = _npz(tmp_path, x=X, y=y)
    assert dataset.task == "regression" and dataset.facts()["num_targets"] == y[0].size


@pytest.mark.parametrize(
    "y", [np.zeros(6, int), np.full((6, 1), 3), np.eye(3, dtype=int)[[1] * 6], np.ones((6, 4), int)]
)
def test_one_class_only_is_refused_for_training_and_can_be_evaluated(tmp_path, y):
    dataset = _npz(tmp_path, x=np.zeros((6, 4), int), y=y)
    with pytest.raises(ValueError, match=r"a.npz: 'y' shows one class only, \d, at least 2 are needed"):
        dataset.check_for_training()
    assert len(dataset.read("train")) == 6
    Npz(tmp_path / "a.npz").facts()


def test_names_of_arrays_may_be_in_capitals(tmp_path):
    dataset = _npz(tmp_path, X_train=X, y_train=np.arange(6) % 3, X_Test=X[:2], Y_TEST=np.array([1, 0]))
    assert dataset.sizes() == {"train": 6, "test": 2} and dataset.labels("test").tolist() == [1, 0]
    with pytest.raises(ValueError, match="holds both 'X_train' and 'x_train'"):
        _npz(tmp_path, X_train=X, x_train=X, y_train=np.arange(6)).sizes()


def test_a_header_that_promises_petabytes_is_refused_before_memory_is_asked_for(tmp_path, monkeypatch):
    head = np.lib.format.header_data_from_array_1_0(X) | {"shape": (10**15,)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for key in ("x", "y"):
            data = io.BytesIO()
            np.lib.format.write_array_header_1_0(data, head)
            file.writestr(f"{key}.npy", data.getvalue() + X.tobytes())
    (tmp_path / "a.npy").write_bytes(data.getvalue() + X.tobytes())
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("memory was asked for"))
    for read in (Npz(tmp_path / "a.npz").sizes, lambda: npy_headers.array(tmp_path / "a.npz", "x")):
        with pytest.raises(ValueError, match=r"a.npz.*its header promises an array \(10+,\) of float64"):
            read()
    with pytest.raises(ValueError, match="its header promises"):
        npy_headers.single(tmp_path / "a.npy")


Y = np.arange(6) % 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X}, "holds no array 'y_train' to match 'x_train'"),
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


def _two(folder, **others):
    arrays = {"image_train": np.zeros((4, 2, 2)), "table_train": np.ones((4, 3)), "kind_train": np.array([0, 2, 1, 0])}
    return {**arrays, "amount_train": np.array([0.5, 1, 2, 3]), **others}


def test_several_inputs_and_targets_have_names(tmp_path):
    _npz(tmp_path, **_two(tmp_path))
    dataset = Npz(tmp_path / "a.npz", inputs=["image", "table"], targets=["kind", "amount"])
    assert dataset.task == "several" and dataset.sizes() == {"train": 4}
    assert dataset.facts() == {
        "inputs": {"image": {"input_shape": (2, 2)}, "table": {"input_shape": (3,)}},
        "targets": {
            "kind": {"task": "classification", "num_classes": 3},
            "amount": {"task": "regression", "num_targets": 1},
        },
    }
    examples = dataset.read("train").take(np.array([1, 3]))
    assert len(examples) == 2 and examples.x["table"].shape == (2, 3)
    assert examples.y["kind"].tolist() == [2, 0] and examples.y["amount"].dtype == np.float32
    assert (list(dataset.input_names()), list(dataset.target_names())) == (["image", "table"], ["kind", "amount"])


def test_one_input_and_one_target_may_have_other_names(tmp_path):
    _npz(tmp_path, **_two(tmp_path))
    dataset = Npz(tmp_path / "a.npz", inputs="image", targets=["kind"])
    assert dataset.facts() == {"input_shape": (2, 2), "num_classes": 3} and dataset.input_names() == ()
    assert dataset.read("train").x.shape == (4, 2, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"amount_train": np.ones(3)}, "'image_train' has 4 examples but 'amount_train' has 3"),
        ({"amount_train": np.array(["a"] * 4)}, "'amount_train' holds <U1 values, not numbers"),
        ({"kind_test": np.array([1])}, "holds no array 'image_test' to match 'kind_test'"),
        ({"kind_train": np.zeros(4, int)}, "'kind_train' shows one class only"),
    ],
)
def test_several_arrays_are_checked_against_each_other(tmp_path, changed, message):
    _npz(tmp_path, **_two(tmp_path, **changed))
    dataset = Npz(tmp_path / "a.npz", inputs=["image", "table"], targets=["kind", "amount"])
    with pytest.raises(ValueError, match=re.escape(message)):
        dataset.sizes()
        dataset.check_for_training()


def test_names_are_given_once(tmp_path):
    _npz(tmp_path, x=X, y=np.arange(6) % 3)
    with pytest.raises(ValueError, match="'x' is named twice"):
        Npz(tmp_path / "a.npz", inputs=["x", "y"], targets="x")
    with pytest.raises(ValueError, match="'targets' parameter of Npz must be the name of an array, or several"):
        Npz(tmp_path / "a.npz", targets=[])

"""Arrays as inputs: the arrays of NumPy, read some examples at a time and never whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.data.inputs.arrays import ArrayFiles

X = np.random.default_rng(0).normal(size=(25, 3)).astype("float32")


def read(paths: list[Path], shape: Any = (3,), size: int = 10, name: str = "x") -> tuple[list[Any], Any, list[str]]:
    """Return places, examples and the lines on what was left out."""
    left_out: list[str] = []
    batches = list(ArrayFiles([str(path) for path in paths], shape, name).batches(size, left_out.append))
    places = [place for batch in batches for place in batch.places]
    assert all(len(batch) <= size for batch in batches)
    return places, np.concatenate([batch.x for batch in batches]) if batches else None, left_out


@pytest.mark.parametrize("size", [1, 10, 25, 99])
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "fortran", "fortran.npz", "big endian"])
def test_examples_are_those_of_numpy(kind: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / ("x.npz" if kind in ("npz", "compressed", "fortran.npz") else "x.npy")
    x = np.asfortranarray(X) if "fortran" in kind else X.astype(">f4") if kind == "big endian" else X
    if kind == "compressed":
        np.savez_compressed(path, x=x)
    elif path.suffix == ".npz":
        np.savez(path, x=x)
    else:
        np.save(path, x)
    places, found, left_out = read([path], size=size)
    assert places == list(range(25)) and left_out == []
    np.testing.assert_array_equal(found, X)


def test_several_inputs_come_side_by_side_and_several_files_one_after_another(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", A=X, b_test=X[:, :2])
    left_out: list[str] = []
    reader = ArrayFiles([str(tmp_path / "two.npz")], {"a": (3,), "b": (2,)})
    batches = list(reader.batches(20, left_out.append))
    assert [len(batch) for batch in batches] == [20, 5] and left_out == []
    np.testing.assert_array_equal(np.concatenate([batch.x["b"] for batch in batches]), X[:, :2])
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", X[:2])
    places, _, _ = read([tmp_path / "a.npy", tmp_path / "b.npy"])
    assert places == [f"{tmp_path}/{name}.npy:{row}" for name in "ab" for row in range(2)]


def test_the_array_is_found_by_the_name_that_training_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=X, label=np.zeros(25))
    _, found, left_out = read([tmp_path / "f.npz"], name="features")
    np.testing.assert_array_equal(found, X)
    _, _, left_out = read([tmp_path / "f.npz"])
    assert left_out == [f"{tmp_path}/f.npz: holds the arrays features, label. Name the inputs x."]


@pytest.mark.parametrize(
    ("x", "line"),
    [
        (X[:, :2], "the array is 25 x 2, the model takes n x 3."),
        (X[:0], "holds no examples."),
        (np.float32(3), "the array is a single number, the model takes n x 3."),
        (X.astype(str), "holds <U32, the model takes numbers."),
        (np.array([[{}] * 3]), "it holds Python objects"),
    ],
)
def test_an_array_that_the_model_does_not_take_is_one_line(x: Any, line: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", x)
    _, found, left_out = read([tmp_path / "x.npy"])
    assert found is None and len(left_out) == 1 and line in left_out[0]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_comes_before_the_damage_is_read(suffix: str, tmp_path: Path) -> None:
    """Bytes of an .npz file that changed are found by their sum, which in a small file comes with the first batch."""
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        np.savez(path, x=X)
        data = bytearray(path.read_bytes())
        at = bytes(data).index(X[20].tobytes())
        data[at] ^= 1
        path.write_bytes(bytes(data))
    else:
        np.save(path, X)
        path.write_bytes(path.read_bytes()[:-5])
    places, _, left_out = read([path])
    assert places == (list(range(20)) if suffix == ".npy" else [])
    assert len(left_out) == 1 and "is no readable" in left_out[0]


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_memory_is_that_of_a_batch_not_of_the_file(save: Any, tmp_path: Path) -> None:
    """32 MB of examples in batches of 0.1 MB: with the buffers of zip archives, 2 MB at most."""
    path = tmp_path / ("x.npy" if save is np.save else "x.npz")
    save(path, np.zeros((8000, 1000), np.float32))
    tracemalloc.start()
    count = sum(len(batch) for batch in ArrayFiles([str(path)], (1000,)).batches(25, print))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 8000 and peak < 2e6

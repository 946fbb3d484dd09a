"""IDX files and mnist.npz: every spelling is read, every damage is named."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from dltool.library.datasets.fashion_mnist import FashionMnist
from dltool.library.datasets.mnist import Mnist

FILES = {
    "train-images": (12, 28, 28),
    "train-labels": (12,),
    "t10k-images": (6, 28, 28),
    "t10k-labels": (6,),
}


def _idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


def _arrays():
    rng = np.random.default_rng(1)
    return {name: rng.integers(0, 10, shape) for name, shape in FILES.items()}


def _write(folder, gz=True, dot=False):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = _arrays()
    for name, array in arrays.items():
        stem = f"{name}{'.' if dot else '-'}idx{array.ndim}-ubyte"
        data = _idx(array)
        (folder / (stem + ".gz" * gz)).write_bytes(gzip.compress(data) if gz else data)
    return arrays


def _check(dataset, arrays):
    assert dataset.sizes() == {"train": 12, "test": 6}
    for part, name in (("train", "train"), ("test", "t10k")):
        examples = dataset.read(part)
        assert examples.x.dtype == np.uint8 and examples.y.dtype == np.int32
        np.testing.assert_array_equal(examples.x[..., 0], arrays[f"{name}-images"])
        np.testing.assert_array_equal(dataset.labels(part), arrays[f"{name}-labels"])


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("dot", [True, False])
def test_every_spelling_of_the_files_is_read(tmp_path, gz, dot):
    arrays = _write(tmp_path, gz, dot)
    _check(Mnist(tmp_path), arrays)


@pytest.mark.parametrize(
    ("cls", "folder"),
    [
        (Mnist, "mnist"),
        (Mnist, "MNIST/raw"),
        (FashionMnist, "fashion_mnist"),
        (FashionMnist, "fashion-mnist"),
        (FashionMnist, "FashionMNIST/raw"),
    ],
)
def test_files_are_found_below_dltool_data(tmp_path, monkeypatch, cls, folder):
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path))
    _check(cls(), _write(tmp_path / folder))


def test_the_explicit_path_comes_before_dltool_data(tmp_path, monkeypatch):
    _write(tmp_path / "mnist")
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(FileNotFoundError, match="own holds no IDX files"):
        Mnist(own)


def test_the_keras_cache_is_read_without_keras(tmp_path):
    (tmp_path / "datasets").mkdir()
    a = _arrays()
    arrays = {
        f"{key}_{part}": a[f"{name}-{kind}"].astype(np.uint8)
        for key, kind in (("x", "images"), ("y", "labels"))
        for part, name in (("train", "train"), ("test", "t10k"))
    }
    np.savez(tmp_path / "datasets" / "mnist.npz", **arrays)
    code = """
import sys
from dltool.library.datasets.mnist import Mnist
assert Mnist().sizes() == {"train": 12, "test": 6}
assert Mnist().read("train").x.shape == (12, 28, 28, 1)
assert not {"keras", "tensorflow"} & set(sys.modules)
"""
    environment = {k: v for k, v in os.environ.items() if k != "DLTOOL_DATA"} | {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_keras_download_is_not_taken_for_the_dataset(tmp_path, monkeypatch):
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    _write(tmp_path / "datasets" / "fashion-mnist")
    _check(FashionMnist(), _arrays())
    (tmp_path / "datasets" / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    assert FashionMnist()._source is None


def test_a_failed_download_is_one_line_and_keeps_stdout_clean(tmp_path, monkeypatch, capfd):
    import keras

    def load_data():
        print("Downloading data from ...")
        raise Exception("URL fetch failure on ...\nsecond line")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(FileNotFoundError) as caught:
        Mnist().read("train")
    message = str(caught.value)
    assert "\n" not in message and "set DLTOOL_DATA" in message and "'path'" in message
    for place in ("data/mnist", "data/MNIST/raw", "keras/datasets/mnist.npz"):
        assert str(tmp_path / place) in message
    assert capfd.readouterr().out == ""


def test_a_download_of_another_size_is_refused(tmp_path, monkeypatch):
    import keras

    part = (np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (part, part))
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert Mnist().sizes() == {"train": 60_000, "test": 10_000}
    with pytest.raises(ValueError, match="expected \\(60000, 28, 28\\)"):
        Mnist().read("train")


def test_sizes_come_from_headers_alone(tmp_path):
    _write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(_idx(_arrays()["train-images"])[:1000]))
    assert Mnist(tmp_path).sizes()["train"] == 12
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz holds 984 bytes .* promises 9408"):
        Mnist(tmp_path).read("train")


def _broken(folder, name, change):
    _write(folder, gz=False)
    path = next(folder.glob(f"{name}*"))
    path.write_bytes(change(path.read_bytes()))
    return Mnist(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "train-images",
            lambda b: b[:500],
            "train-images-idx3-ubyte has 500 bytes, its header promises 9424",
        ),
        (
            "train-images",
            lambda b: b"\0\0\x08\x01" + b[4:],
            "train-images.*starts with 00000801, expected 00000803",
        ),
        ("train-images", lambda b: b"", "starts with nothing"),
        ("train-labels", lambda b: b[:6], "ends within its header"),
        ("train-labels", lambda b: _idx(np.zeros(11)), "12 train images but 11 labels"),
        ("train-labels", lambda b: _idx(np.full(12, 10)), "labels reach from 10 to 10, expected 0 to 9"),
        ("train-images", lambda b: _idx(np.zeros((12, 27, 28))), r"images are \(27, 28\) pixels"),
    ],
)
def test_damage_is_named(tmp_path, name, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        _broken(tmp_path, name, change).read("train")
    assert "\n" not in str(caught.value) and "fetch" in str(caught.value) or "check" in str(caught.value)


def test_a_truncated_gzip_file_is_named(tmp_path):
    _write(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte.gz is cut short or damaged"):
        Mnist(tmp_path).read("test")


def test_a_file_that_only_claims_to_be_gzip_is_named(tmp_path):
    _write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte.gz is no readable gzip file"):
        Mnist(tmp_path).sizes()


def test_a_missing_file_among_others_is_named(tmp_path):
    _write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="holds no t10k-labels-idx1-ubyte.gz"):
        Mnist(tmp_path).sizes()


@pytest.mark.data
def test_mnist_has_its_published_statistics():
    mnist = Mnist()
    assert mnist.sizes() == {"train": 60_000, "test": 10_000}
    train = mnist.read("train")
    pixels = train.x.astype(np.float32) / 255
    assert float(pixels.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=5e-5)
    assert float(pixels.std(dtype=np.float64)) == pytest.approx(0.3081, abs=5e-5)
    # Class counts of the training set as published.
    assert np.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(mnist.labels("test")).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]

"""CIFAR in every published form, and pickles that want more than arrays."""

import contextlib
import io
import os
import pickle
import tarfile
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from dltool.data.formats import cifar_batches, members, restricted_pickle
from dltool.library.datasets.cifar10 import Cifar10
from dltool.library.datasets.cifar100 import COARSE, COARSE_OF, Cifar100

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


def _rows(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, 10, n)


def _python10(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(BATCHES):
        rows, labels = _rows(4, i)
        batch = {b"data": rows, b"labels": labels.tolist(), b"batch_label": b"x"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))


def _binary10(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(BATCHES):
        rows, labels = _rows(4, i)
        records = np.concatenate([labels.astype(np.uint8)[:, None], rows], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def _pack(folder, archive):
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)


def _check10(dataset):
    assert dataset.sizes() == {"train": 20, "test": 4}
    examples = dataset.read("train")
    rows = np.concatenate([_rows(4, i)[0] for i in range(5)])
    # Value (row r, column c, channel k) of an image is byte 1024 k + 32 r + c of its row.
    assert examples.x[7, 3, 5, 2] == rows[7, 1024 * 2 + 32 * 3 + 5]
    np.testing.assert_array_equal(examples.x.transpose(0, 3, 1, 2).reshape(20, -1), rows)
    np.testing.assert_array_equal(examples.y, np.concatenate([_rows(4, i)[1] for i in range(5)]))
    np.testing.assert_array_equal(dataset.labels("test"), _rows(4, 5)[1])
    assert dataset.facts()["class_names"] == NAMES


@pytest.mark.parametrize(
    ("write", "folder", "archive"),
    [
        (_python10, "cifar-10-batches-py", "cifar-10-python.tar.gz"),
        (_binary10, "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    ],
)
def test_published_batches_are_read_as_folders_and_archives(tmp_path, write, folder, archive):
    write(tmp_path / "a" / folder)
    _check10(Cifar10(tmp_path / "a"))
    _check10(Cifar10(tmp_path / "a" / folder))
    (tmp_path / "b").mkdir()
    _pack(tmp_path / "a" / folder, tmp_path / "b" / archive)
    _check10(Cifar10(tmp_path / "b"))


def test_the_keras_cache_is_read_once_it_is_complete(tmp_path, monkeypatch):
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    _python10(folder)
    _check10(Cifar10())
    (folder / "test_batch").unlink()
    assert Cifar10().sizes() == {"train": 50_000, "test": 10_000}  # of the download to come


def test_cifar100_fine_and_coarse_labels_of_both_forms(tmp_path):
    rows, fine = _rows(6, 0)[0], np.array([0, 1, 2, 97, 98, 99])
    coarse = np.array([COARSE.index(COARSE_OF[sorted(COARSE_OF)[i]]) for i in fine])
    for name in ("py", "bin"):
        (tmp_path / name).mkdir()
    for part in ("train", "test"):
        batch = {b"data": rows, b"fine_labels": fine.tolist(), b"coarse_labels": coarse.tolist()}
        (tmp_path / "py" / part).write_bytes(pickle.dumps(batch, protocol=3))
        records = np.concatenate([coarse[:, None], fine[:, None], rows], axis=1).astype(np.uint8)
        (tmp_path / "bin" / f"{part}.bin").write_bytes(records.tobytes())
    for name in ("py", "bin"):
        assert Cifar100(tmp_path / name).labels("train").tolist() == fine.tolist()
        assert Cifar100(tmp_path / name, label_mode="coarse").labels("test").tolist() == coarse.tolist()
        assert Cifar100(tmp_path / name, label_mode="coarse").facts()["num_classes"] == 20


def test_cifar100_has_five_fine_classes_a_coarse_one():
    assert len(COARSE_OF) == 100 and len(COARSE) == 20
    assert np.unique([COARSE.index(c) for c in COARSE_OF.values()], return_counts=True)[1].tolist() == [5] * 20
    # The published labels of apple: fine 0, coarse 4 (fruit_and_vegetables).
    assert sorted(COARSE_OF)[0] == "apple" and COARSE.index(COARSE_OF["apple"]) == 4


def test_coarse_labels_follow_from_fine_class_folders(tmp_path):
    for part in ("train", "test"):
        for name in COARSE_OF:
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / part / name / "0.png")
    labels = Cifar100(tmp_path, label_mode="coarse").labels("train")
    assert labels.tolist() == [COARSE.index(COARSE_OF[name]) for name in sorted(COARSE_OF)]


def _jpeg(color):
    data = io.BytesIO()
    Image.fromarray(np.tile(np.array(color, np.uint8), (32, 32, 1))).save(data, "JPEG", quality=95)
    return data.getvalue()


def _tree(per_class=2):
    return {f"cifar10/{name}/{k}.jpg": _jpeg((20 * i, 90, k)) for i, name in enumerate(NAMES) for k in range(per_class)}


def _tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def _write_form(folder, form, files):
    for part in ("train", "test"):
        if form == "zip":
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as file:
                for name, data in files.items():
                    file.writestr(name, data)
        elif form == "folder":
            for name, data in files.items():
                path = folder / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        else:
            _tar(folder / f"{part}.{form}", files, "w" if form == "tar" else "w:gz")


@pytest.mark.parametrize("form", ["tar.gz", "tgz", "tar", "zip", "folder"])
def test_class_folders_are_read_from_every_container(tmp_path, form):
    files = _tree() | {
        "cifar10/.DS_Store": b"junk",
        "cifar10/cat/._0.jpg": b"junk",
        "cifar10/README": b"text",
    }
    _write_form(tmp_path, form, files)
    dataset = Cifar10(tmp_path)
    assert dataset.sizes() == {"train": 20, "test": 20}
    examples = dataset.read("test")
    assert examples.y.tolist() == np.repeat(np.arange(10), 2).tolist()
    twin = [np.asarray(Image.open(io.BytesIO(files[name]))) for name in sorted(_tree())]
    np.testing.assert_array_equal(examples.x, np.stack(twin))


def test_classes_txt_gives_the_label_order(tmp_path):
    _write_form(tmp_path, "tar.gz", _tree(1))
    (tmp_path / "classes.txt").write_text("\n".join(reversed(NAMES)))
    dataset = Cifar10(tmp_path)
    assert dataset.facts()["class_names"] == NAMES[::-1]
    assert dataset.read("train").x[0, 0, 0, 0] > 150  # truck, 20 * 9 red, is class 0 now
    (tmp_path / "classes.txt").write_text("cat dog")
    with pytest.raises(ValueError, match="classes.txt does not list the 10 classes"):
        Cifar10(tmp_path).facts()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("c/cat/9.jpg", b"\xff\xd8\xff nonsense", "train.tar.gz: c/cat/9.jpg is no readable 32 x 32 image"),
        ("c/cat/9.jpg", _jpeg((1, 2, 3))[:-40], "c/cat/9.jpg is no readable"),
        ("c/cats/9.jpg", _jpeg((1, 2, 3)), "the folder of c/cats/9.jpg is none of the classes"),
    ],
)
def test_damaged_images_are_named(tmp_path, name, data, message):
    _write_form(tmp_path, "tar.gz", _tree(1) | {name: data})
    with pytest.raises(ValueError, match=message):
        Cifar10(tmp_path).read("train")


def test_an_image_of_another_size_is_named(tmp_path):
    for kind in ("JPEG", "PNG"):
        data = io.BytesIO()
        Image.new("RGB", (32, 64)).save(data, kind)
        _write_form(tmp_path, "tar.gz", _tree(1) | {"c/dog/big.jpg": data.getvalue()})
        with pytest.raises(ValueError, match="big.jpg is no readable 32 x 32 image .*64 x 32"):
            Cifar10(tmp_path).read("train")


def test_a_truncated_archive_is_named(tmp_path):
    _write_form(tmp_path, "tar.gz", _tree(1))
    path = tmp_path / "train.tar.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="train.tar.gz is cut short or damaged"):
        Cifar10(tmp_path).sizes()


def test_tar_archives_with_long_names_are_read_as_tarfile_reads_them(tmp_path):
    files = {f"{'d' * 90}/{'e' * 90}/{i}.txt": bytes([i]) * i for i in range(5)} | {"short": b"s"}
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=kind) as file:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
        assert {name: read() for name, read in members.files(tmp_path / "a.tar").items()} == files


def test_a_missing_batch_is_named(tmp_path):
    _python10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="holds no data_batch_3"):
        Cifar10(tmp_path).read("train")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"labels": [1]}, "holds no 'data'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "no 'labels' for each of its 2 images"),
        (
            {b"data": np.zeros((1, 3072), np.uint8), b"labels": [11]},
            "labels reach from 11 to 11, expected 0 to 9",
        ),
        ([1, 2], "holds no 'data'"),
    ],
)
def test_batches_that_are_no_batches_are_named(tmp_path, batch, message):
    _python10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(batch))
    with pytest.raises(ValueError, match=message):
        Cifar10(tmp_path).read("test")


def test_a_binary_batch_of_odd_length_is_named(tmp_path):
    _binary10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3074)
    with pytest.raises(ValueError, match="test_batch.bin has 3074 bytes, no multiple of 3073"):
        Cifar10(tmp_path).read("test")


class _Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


def _array(shape, code, content, flags=0, order=b"|"):
    """An array as Python 2 pickles it, of any type."""
    dtype = (
        b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code + b"\x89\x88tR(K\x03U\x01" + order + b"NNNJ\xff\xff\xff\xffJ"
    )
    dtype += b"\xff\xff\xff\xffK" + bytes([flags]) + b"tb"
    return RECONSTRUCT + b"(K\x01" + shape + dtype + b"\x89T" + len(content).to_bytes(4, "little") + content + b"tb"


@pytest.mark.parametrize("flags", [0, 63])
@pytest.mark.parametrize("code", [b"O8", b"O", b"V8", b"S8", b"U2", b"M8", b"f16", b"c8", b"i8,i8", b"(2)i4"])
def test_arrays_of_anything_but_numbers_are_refused(code, flags):
    data = b"\x80\x02" + _array(b")", code, b"A" * 8, flags) + b"."
    with pytest.raises(ValueError, match=r"origin is a pickle that asks for an array of"):
        restricted_pickle.loads(data, "origin")


@pytest.mark.parametrize(
    "shape", [b"K\x07\x85", b"K\x02K\x05\x86", b"J\xff\xff\xff\xff\x85", b"N\x85", b"K\x01", b"M\xff\xff\x85"]
)
def test_an_array_of_another_size_than_its_bytes_is_damaged(shape):
    data = b"\x80\x02" + _array(shape, b"u1", b"A" * 8) + b"."
    with pytest.raises(ValueError, match="origin is cut short or damaged"):
        restricted_pickle.loads(data, "origin")


def test_labels_that_are_an_array_of_addresses_end_in_an_error_of_the_file(tmp_path):
    _python10(tmp_path)
    batch = b"\x80\x02}(U\x04data" + _array(b"K\x01M\x00\x0c\x86", b"u1", bytes(3072))
    batch += b"U\x06labels](" + _array(b")", b"O8", b"A" * 8) + b"eu."
    (tmp_path / "test_batch").write_bytes(batch)
    with pytest.raises(ValueError, match="test_batch is a pickle that asks for an array of O8"):
        Cifar10(tmp_path).read("test")


@pytest.mark.parametrize("label", [-1, 2**31, 10**30, 1.5, "1", None, [1], True])
def test_labels_that_are_no_numbers_of_classes_are_named(tmp_path, label):
    _python10(tmp_path)
    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [label]}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=4))
    with pytest.raises(ValueError, match="test_batch holds other 'labels' than numbers of classes"):
        Cifar10(tmp_path).read("test")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr\xff\xff\xff\x7fN.",  # a memo of 2**31 places
        b"\x80\x02}N" + b"2\x86" * 80 + b"K\x01s.",  # a key whose hash would take 2**80 steps
        b"\x80\x02" + b"(" * 100_000 + b"." + b"\x85" * 100_000,
        b"\x80\x02N" + b"\x85" * 100_000 + b"Nb.",  # a state of a tuple 100,000 deep
        b"\x80\x02cnumpy\ndtype\nN" + b"2\x86" * 80 + b"\x85R.",  # a type that would take 2**80 letters to name
        b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a bytearray of 2**63 bytes
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",  # a number of -1 bytes
        b"P1\n.", b"Q.", b"\x80\x05\x97.", b"\x81.", b"ios\nsystem\n.", b"\x82\x01.", b"", b".", b"(", b"}(KKs.",
    ],
)  # fmt: skip
def test_a_pickle_that_would_take_for_ever_ends_at_once(data):
    start = time.process_time()
    with contextlib.suppress(ValueError):
        assert restricted_pickle.loads(data, "origin") is None
    assert time.process_time() - start < 20  # of the processor, where each takes 0.1 s at most


def _mutated(data, rng):
    """The bytes with some changed, removed, repeated or put in from elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at, size = int(rng.integers(len(changed))), int(rng.integers(1, 12))
        kind = rng.integers(5)
        if kind == 0:
            changed[at] = rng.integers(256)
        elif kind == 1:
            changed[at] ^= 1 << rng.integers(8)
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = changed[at : at + size] * int(rng.integers(1, 4))
        else:
            changed[at] = _OPCODES[rng.integers(len(_OPCODES))]
    return bytes(changed)


_OPCODES = b"".join(value for name, value in vars(pickle).items() if isinstance(value, bytes) and len(value) == 1)


@pytest.mark.parametrize("count", [2000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_every_mutation_of_a_batch_is_read_or_named(count):
    rng = np.random.default_rng(17)
    rows, labels = np.zeros((2, 3072), np.uint8), [3, 7]
    batches = [
        pickle.dumps({b"data": rows, b"labels": labels, b"names": ["a", "b"]}, protocol) for protocol in (3, 4, 5)
    ]
    of_python_2 = b"\x80\x02}(U\x04data" + _array(b"K\x02M\x00\x0c\x86", b"u1", bytes(6144))
    batches.append(of_python_2 + b"q\x01U\x06labels](K\x03K\x07eu.")
    outcomes = {"read": 0, "named": 0}
    for number in range(count):
        whole = batches[number % len(batches)]
        middle = whole.index(bytes(1000))  # instructions stand around the pixels
        parts = [whole[:middle], whole[middle + 6144 :]]
        which = rng.integers(2)
        parts[which] = _mutated(parts[which], rng)
        try:
            x, y = cifar_batches._python(parts[0] + bytes(6144) + parts[1], "origin", "labels")
        except ValueError as error:
            assert str(error).startswith("origin ")
            outcomes["named"] += 1
        else:
            assert (x.dtype, y.dtype, len(x)) == (np.uint8, np.int64, len(y))
            outcomes["read"] += 1
    assert min(outcomes.values()) > count // 50, outcomes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, protocol):
    data = pickle.dumps({"data": _Malicious(tmp_path / "harm")}, protocol=protocol)
    with pytest.raises(ValueError, match=r"origin is a pickle that asks for \w+.mkdir"):
        restricted_pickle.loads(data, "origin")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__"])
def test_builtins_are_refused(name):
    with pytest.raises(ValueError, match=f"asks for builtins.{name}"):
        restricted_pickle.loads(f"cbuiltins\n{name}\n.".encode(), "origin")


def test_arrays_and_containers_are_admitted():
    value = {b"a": [1, (2.0, None)], b"b": np.arange(6, dtype=np.int16).reshape(2, 3)}
    for protocol in (3, 4, 5):
        loaded = restricted_pickle.loads(pickle.dumps(value, protocol=protocol), "origin")
        np.testing.assert_array_equal(loaded[b"b"], value[b"b"])
        assert loaded[b"a"] == value[b"a"]


def test_a_pickle_of_python_2_is_read():
    # pickle.dumps({"data": numpy.array([7, 8], "uint8")}, 2) of Python 2 with NumPy 1, written by hand.
    data = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x02\x07\x08tbs."
    )
    assert restricted_pickle.loads(data, "origin")[b"data"].tolist() == [7, 8]


def test_a_truncated_pickle_is_one_line():
    with pytest.raises(ValueError, match="origin is cut short or damaged"):
        restricted_pickle.loads(pickle.dumps({b"data": np.zeros(100)})[:-20], "origin")


@pytest.mark.data
def test_cifar10_has_its_published_statistics():
    cifar = Cifar10()
    assert cifar.sizes() == {"train": 50_000, "test": 10_000}
    assert cifar.facts()["class_names"] == NAMES
    train = cifar.read("train")
    assert np.bincount(train.y).tolist() == [5000] * 10
    assert np.bincount(cifar.labels("test")).tolist() == [1000] * 10
    means = train.x.reshape(-1, 3).mean(axis=0, dtype=np.float64) / 255
    assert means == pytest.approx([0.4913, 0.4821, 0.4465], abs=2e-4)

"""Claims that hold for every dataset class, found by scanning the folder."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import wave

import numpy as np
import pytest
from PIL import Image

import dltool.library.datasets
from dltool.data.base import Dataset, StreamedDataset
from dltool.data.splits import split
from dltool.data.translation import TranslationDataset
from tests.boxes import boxed_images, write_coco, write_voc, write_yolo
from tests.shapes import CLASSES as SHAPES
from tests.shapes import shapes, write


def _discover():
    found = {}
    for info in pkgutil.iter_modules(dltool.library.datasets.__path__):
        module = importlib.import_module(f"dltool.library.datasets.{info.name}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and name.lower() == info.name.replace("_", ""):
                found[name] = value
    return found


CLASSES = {name: cls for name, cls in _discover().items() if issubclass(cls, Dataset)}
TRANSLATIONS = {name for name, cls in CLASSES.items() if issubclass(cls, TranslationDataset)}


def _idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def _mnist(folder):
    rng = np.random.default_rng(0)
    for name, n in (("train", 20), ("t10k", 10)):
        _idx(folder / f"{name}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)))
        _idx(folder / f"{name}-labels-idx1-ubyte", np.arange(n) % 10)
    return {"path": folder}


def _cifar(names):
    def make(folder):
        for part in ("train", "test"):
            for i, name in enumerate(names):
                (folder / part / name).mkdir(parents=True)
                for k in range(2):
                    Image.new("RGB", (32, 32), (i, k, 9)).save(folder / part / name / f"{k}.png")
        return {"path": folder}

    return make


def _images(folder):
    for name, color in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (folder / name).mkdir()
        for i in range(5):
            Image.new("RGB", (6, 5), color).save(folder / name / f"{i}.png")
    return {"path": folder, "image_size": (4, 3)}


def _masks(folder):
    images, masks = shapes(8, size=16)
    return {"path": write(folder, images, masks), "classes": SHAPES, "void": "edge"}


def _camvid(folder):
    images, masks = shapes(8, size=16)
    return {"path": write(folder, images, masks, ("train", "trainannot"))}


def _voc(folder):
    return {"path": write_voc(folder, *boxed_images(8))}


def _bccd(folder):
    images, things = boxed_images(8)
    return {"path": write_voc(folder, images, [[(CELLS[name], box) for name, box in own] for own in things])}


def _csv(folder):
    rows = "".join(f"{i},{'red' if i % 2 else 'blue'},{'yes' if i % 3 else 'no'}\n" for i in range(20))
    (folder / "table.csv").write_text("size,colour,label\n" + rows)
    return {"path": folder / "table.csv", "target": "label"}


def _npz(folder):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 4
    np.savez(folder / "a.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return {"path": folder / "a.npz"}


def _spoken(folder):
    rng = np.random.default_rng(0)
    for digit in range(10):
        for index in (4, 5):  # of the test part and of the training part
            with wave.open(str(folder / f"{digit}_anna_{index}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(rng.integers(-999, 999, 800).astype("<i2").tobytes())
    return {"path": folder}


def _text(folder):
    (folder / "a.txt").write_text("To be, or not to be: that is the question.\n" * 20)
    return {"path": folder / "a.txt", "sequence_length": 16}


def _parallel(folder):
    for language, word in (("en", "house"), ("de", "Haus")):
        (folder / f"train.{language}").write_text("".join(f"{word} {i}\n" for i in range(20)))
    return {"path": folder / "train.{language}", "directions": ["en-de"], "tokens": "char"}


FINE = sorted(importlib.import_module("dltool.library.datasets.cifar100").COARSE_OF)
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CELLS = {"disc": "RBC", "square": "Platelets"}
SAMPLES = {
    "Mnist": _mnist,
    "FashionMnist": _mnist,
    "DistortedMnist": _mnist,
    "Cifar10": _cifar(CIFAR10),
    "Cifar100": _cifar(FINE),
    "ImageFolder": _images,
    "ImageMasks": _masks,
    "CamVid": _camvid,
    "PascalVoc": _voc,
    "Bccd": _bccd,
    "CocoJson": lambda folder: {"path": write_coco(folder, *boxed_images(8))},
    "YoloLabels": lambda folder: {"path": write_yolo(folder, *boxed_images(8))},
    "Csv": _csv,
    "Npz": _npz,
    "SpokenDigits": _spoken,
    "TextFile": _text,
    "ParallelText": _parallel,
}


def _make(name, folder):
    """An instance over small files; a new class that needs files to be made adds its sample above."""
    if name not in SAMPLES:
        required = [
            p for p in inspect.signature(CLASSES[name]).parameters.values() if p.default is inspect.Parameter.empty
        ]
        if required:
            pytest.skip(f"{name} needs {required[0].name} and has no sample here")
        return CLASSES[name]()
    return CLASSES[name](**SAMPLES[name](folder))


@pytest.fixture(params=sorted(CLASSES.keys() - TRANSLATIONS))
def dataset(request, tmp_path):
    return _make(request.param, tmp_path)


@pytest.fixture(params=sorted(TRANSLATIONS))
def translation(request, tmp_path):
    return _make(request.param, tmp_path).divided()


def test_sizes_and_facts_of_translations_agree_with_what_is_read(translation):
    assert {"ParallelText", "NumberWords"} <= TRANSLATIONS
    facts = translation.facts()
    for part, size in translation.sizes().items():
        pairs = translation.read(part)
        assert len(pairs) == len(pairs.target) == size > 0
        assert pairs.source.tokens.dtype == pairs.target.tokens.dtype == np.int32
        assert pairs.source.tokens.min() > 0 and pairs.source.tokens.max() < facts["source_vocabulary_size"]
        assert pairs.target.tokens.min() > 0 and pairs.target.tokens.max() < facts["target_vocabulary_size"]
    again = translation.divided()
    np.testing.assert_array_equal(again.read("test").source.tokens, translation.read("test").source.tokens)
    splits = split(translation, seed=3)
    assert {name: part.size for name, part in splits.items()} == translation.sizes()
    with pytest.raises(ValueError, match="stores no part 'nonsense'"):
        translation.read("nonsense")


def test_the_datasets_of_this_folder_are_discovered():
    assert set(SAMPLES) | {"Digits", "Line", "PythonDocs"} <= set(CLASSES)


def test_sizes_and_labels_agree_with_what_is_read(dataset):
    sizes = dataset.sizes()
    assert "train" in sizes and set(sizes) <= {"train", "validation", "test"}
    for part, size in sizes.items():
        examples = dataset.read(part)
        assert len(examples) == size > 0
        columns = examples.x.values() if isinstance(examples.x, dict) else [examples.x]
        assert all(len(column) == size for column in columns)
        labels = dataset.labels(part)
        assert labels.dtype == examples.y.dtype
        np.testing.assert_array_equal(labels, examples.y)


def test_facts_agree_with_what_is_read(dataset):
    facts, examples = dataset.facts(), dataset.read("train")
    if isinstance(examples.x, dict):
        assert set(facts["features"]) == set(examples.x) == set(facts["input_columns"])
    else:
        assert isinstance(facts["input_shape"], tuple)
        pairs = zip(facts["input_shape"], examples.x.shape[1:], strict=True)
        assert all(said in (size, None) for said, size in pairs)
    if dataset.task == "language":
        assert examples.x.dtype == examples.y.dtype == np.int32
        assert 0 <= examples.x.min() <= examples.x.max() < facts["vocabulary_size"] == facts["num_classes"]
        assert examples.y.shape == examples.x.shape
    elif dataset.task == "classification":
        assert examples.y.dtype == np.int32
        assert 0 <= examples.y.min() <= examples.y.max() < facts["num_classes"]
        assert len(facts.get("class_names", range(facts["num_classes"]))) == facts["num_classes"]
    elif dataset.task == "segmentation":
        assert examples.y.dtype == np.int32 and examples.y.shape == examples.x.shape[:3]
        assert 0 <= examples.y.min() <= examples.y.max() <= facts["void"] == facts["num_classes"]
        assert len(facts["class_names"]) == facts["num_classes"]
    elif dataset.task == "detection":
        assert examples.y.dtype == np.float32 and examples.y.shape[1:] == (facts["max_boxes"], 6)
        x0, y0, x1, y1, index, ignored = examples.y[examples.y[..., 4] >= 0].T
        assert (x0 >= 0).all() and (x0 < x1).all() and (x1 <= facts["input_shape"][1]).all()
        assert (y0 >= 0).all() and (y0 < y1).all() and (y1 <= facts["input_shape"][0]).all()
        assert index.max() < facts["num_classes"] == len(facts["class_names"]) and set(ignored) <= {0, 1}
    else:
        assert dataset.task == "regression"
        assert examples.y.dtype == np.float32
        assert facts["num_targets"] == np.prod(examples.y.shape[1:], dtype=int)


def test_reading_twice_gives_the_same(dataset):
    first, second = dataset.read("train"), dataset.read("train")
    np.testing.assert_array_equal(first.y, second.y)
    for name in first.x if isinstance(first.x, dict) else [slice(None)]:
        np.testing.assert_array_equal(first.x[name], second.x[name])


def test_streams_give_the_examples_that_are_read(dataset):
    if not isinstance(dataset, StreamedDataset):
        pytest.skip("not streamed")
    order = np.array([3, 0, 7])
    examples = dataset.read("train").take(order)
    streamed = list(dataset.stream("train", order).as_numpy_iterator())
    np.testing.assert_array_equal(np.stack([x for x, _ in streamed]), examples.x)
    np.testing.assert_array_equal(np.stack([y for _, y in streamed]), examples.y)
    assert dataset.unreadable("train") is None


def test_a_part_that_is_not_stored_is_an_error_of_one_line(dataset):
    with pytest.raises(ValueError, match="stores no part 'nonsense'") as caught:
        dataset.read("nonsense")
    assert "\n" not in str(caught.value)


def test_split_promises_the_sizes_it_keeps(dataset):
    splits = split(dataset, seed=3)
    dataset = dataset.divided() or dataset
    assert {"train", "test"} <= set(splits)
    for part in splits.values():
        indices = part.indices()
        assert part.size == (dataset.sizes()[part.part] if indices is None else len(indices))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_missing_path_is_an_error_that_names_it(name, tmp_path):
    if "path" not in inspect.signature(CLASSES[name]).parameters:
        pytest.skip("takes no path")
    arguments = SAMPLES[name](tmp_path) | {"path": tmp_path / "absent"}
    with pytest.raises(FileNotFoundError, match="absent"):
        CLASSES[name](**arguments)


def test_docstrings_tell_limits():
    for cls in CLASSES.values():
        assert "Limits:" in inspect.getdoc(cls), cls.__name__


def _run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )


def test_readers_do_not_import_tensorflow(tmp_path):
    names = [f"dltool.library.datasets.{info.name}" for info in pkgutil.iter_modules(dltool.library.datasets.__path__)]
    (tmp_path / "mnist").mkdir()
    _mnist(tmp_path / "mnist")
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
heavy = {{"tensorflow", "keras", "pandas", "sklearn", "PIL"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from dltool.library.datasets.mnist import Mnist
from dltool.data.splits import split
splits = split(Mnist(), validation_split=0.1)
print(Mnist().sizes(), {{k: v.size for k, v in splits.items()}}, len(Mnist().read("test")))
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = _run(code, DLTOOL_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'train': 20, 'test': 10} {'train': 18, 'validation': 2, 'test': 10} 10"

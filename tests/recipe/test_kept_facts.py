"""Facts that are kept between commands: equal to those counted anew, and never those of files that have changed."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dltool.data.base import Dataset
from dltool.lr_schedule import plan
from dltool.recipe import build, data_facts, kept_facts, reading
from dltool.recipe import catalogue as names
from dltool.recipe.data import Data
from tests.command_line import trained

OLD = 1_600_000_000  # a time of change that lies back


def text(path: Path, content: str) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.write(content)
    return path


def table(folder: Path, rows: int = 20) -> Path:
    return text(folder / "t.csv", "a,b\n" + "".join(f"{row},{row % 2}\n" for row in range(rows)))


def images(folder: Path, many: int = 3) -> Path:
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        for number in range(many):
            Image.new("RGB", (5, 4), (number, 0, 0)).save(folder / "photos" / name / f"{number}.png")
    return folder / "photos"


def cifar(folder: Path) -> Path:
    for part, many in (("train", 2), ("test", 1)):
        for name in names.find("datasets", "Cifar10").folder_classes:
            (folder / "cifar" / part / name).mkdir(parents=True)
            for number in range(many):
                Image.new("RGB", (32, 32), (number, 9, 9)).save(folder / "cifar" / part / name / f"{number}.png")
    return folder / "cifar"


def sentences(folder: Path) -> dict[str, Any]:
    lines = [f"{'one two three four five six'[: 3 + i % 20]} {i}" for i in range(60)]
    text(folder / "s.en.gz", "\n".join(lines) + "\n")
    text(folder / "s.de.gz", "\n".join(line[::-1] for line in lines) + "\n")
    return {"path": str(folder / "s.{language}.gz"), "directions": ["en-de"], "tokens": "char"}


def dataset(kind: str, folder: Path) -> dict[str, Any]:
    """A small dataset of a kind as a recipe names it."""
    if kind == "Npz":
        np.savez(folder / "a.npz", x_train=np.zeros((20, 3)), y_train=np.arange(20) % 2)
    make = {
        "Csv": lambda: {"path": str(table(folder)), "target": "b"},
        "Npz": lambda: {"path": str(folder / "a.npz")},
        "ImageFolder": lambda: {"path": str(images(folder)), "image_size": [4, 4]},
        "Cifar10": lambda: {"path": str(cifar(folder))},
        "TextFile": lambda: {"path": str(text(folder / "t.txt", "a few words of it " * 40)), "sequence_length": 8},
        "ParallelText": lambda: sentences(folder),
        "NumberWords": lambda: {"examples": 40, "held_out_examples": 10, "largest": 200},
        "PythonDocs": lambda: {"sequence_length": 50},
    }
    return {kind: make[kind]()}


KINDS = ("Csv", "Npz", "ImageFolder", "Cifar10", "TextFile", "ParallelText", "NumberWords", "PythonDocs")


def written(folder: Path, data: dict[str, Any], **fit: Any) -> Path:
    plain = {
        "data": data,
        "model": ["Flatten", {"Dense": 2}],
        "compile": {"optimizer": "adam", "loss": "mse"},
        "fit": {"batch_size": 4, **fit},
    }
    path = folder / "r.yaml"
    path.write_text(json.dumps(plain))
    return path


def opened(path: Path) -> tuple[reading.Recipe, Dataset]:
    one = reading.load(path)
    return one, build.dataset(one.section("data", "dataset"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own, and files that are old enough to be trusted."""
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(kept_facts.SWITCH, raising=False)
    monkeypatch.setattr(kept_facts, "RECENT", -60.0)
    return tmp_path / "cache" / "facts"


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes reading data an error, so that facts can only be those kept."""

    def forbid() -> None:
        monkeypatch.setattr(Data, "of", classmethod(lambda *_: pytest.fail("the data were read")))

    return forbid


@pytest.mark.parametrize("kind", KINDS)
def test_kept_facts_are_those_counted_anew(kind: str, tmp_path: Path, no_reading: Any) -> None:
    tokens = {"batch_tokens": 40} if kind in ("ParallelText", "NumberWords") else {}
    split = {} if kind == "NumberWords" else {"validation_split": 0.1}
    path = written(tmp_path, {"dataset": dataset(kind, tmp_path), **split}, **tokens)
    one, data = opened(path)
    anew = Data.of(one, data)
    expected = {"train_size": anew.splits["train"].size}
    counts, facts = data_facts.counted(*opened(path)), data_facts.facts(*opened(path))
    no_reading()
    for _ in range(2):
        assert data_facts.counted(*opened(path)) == counts
        kept = data_facts.facts(*opened(path))
        assert kept == facts == anew.facts
        assert {key: type(value) for key, value in kept.items()} == {key: type(v) for key, v in anew.facts.items()}
    assert expected.items() <= counts.items()
    assert ("train_batches" in counts) == bool(tokens)
    assert "rows" not in counts and facts["task"] == data.task
    assert plan.of_recipe(str(path), [], "x").steps_per_epoch >= 1


def test_every_dataset_that_reads_files_says_which(tmp_path: Path) -> None:
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        ((name, arguments),) = dataset(kind, folder).items()
        files = names.find("datasets", name)(**arguments).files()
        assert files is not None and all(path.exists() for path in files)
        assert bool(files) == (kind != "NumberWords")


@pytest.mark.parametrize("change", ["longer", "same size", "time", "name", "argument", "split", "version", "gone"])
def test_a_change_is_counted_anew(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path)
    os.utime(tmp_path / "t.csv", (OLD, OLD))
    data = {"dataset": {"Csv": {"path": str(tmp_path / "t.csv"), "target": "b"}}}
    path = written(tmp_path, data)
    assert data_facts.counted(*opened(path)) == {"train_size": 16}
    seen: list[int] = []
    real = Data.of.__func__
    monkeypatch.setattr(Data, "of", classmethod(lambda *given: (seen.append(1), real(*given))[1]))
    assert data_facts.counted(*opened(path)) == {"train_size": 16} and not seen
    expected = 16
    if change == "longer":
        table(tmp_path, 40)
        expected = 32
    elif change == "same size":  # and the same time of change, as a tool may set it
        content = (tmp_path / "t.csv").read_text()
        (tmp_path / "t.csv").write_text(content.replace("\n12,0\n13,1\n", "\n1213,01\n\n"))
        os.utime(tmp_path / "t.csv", (OLD, OLD))
        expected = 15
    elif change == "time":
        os.utime(tmp_path / "t.csv", (OLD + 1, OLD + 1))
    elif change == "name":
        (tmp_path / "t.csv").rename(tmp_path / "u.csv")
        path = written(tmp_path, {"dataset": {"Csv": {"path": str(tmp_path / "u.csv"), "target": "b"}}})
    elif change == "argument":
        path = written(tmp_path, {"dataset": {"Csv": {"path": str(tmp_path / "t.csv"), "target": "a"}}})
    elif change == "split":
        path = written(tmp_path, data | {"test_split": 0.5})
        expected = 10
    elif change == "version":
        monkeypatch.setattr(kept_facts, "__version__", "99")
    else:
        (tmp_path / "t.csv").unlink()
        with pytest.raises(reading.RecipeError, match="No file"):
            data_facts.counted(*opened(path))
        return
    assert data_facts.counted(*opened(path)) == {"train_size": expected}
    assert seen


def test_an_image_more_in_a_folder_is_counted(tmp_path: Path) -> None:
    path = written(tmp_path, {"dataset": {"ImageFolder": {"path": str(images(tmp_path, 5))}}, "test_split": 0})
    assert data_facts.counted(*opened(path)) == {"train_size": 10}
    images(tmp_path, 6)
    assert data_facts.counted(*opened(path)) == {"train_size": 12}


def test_a_file_that_changes_while_it_is_read_or_just_did_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    path = written(tmp_path, {"dataset": {"Csv": {"path": str(table(tmp_path)), "target": "b"}}})
    one, data = opened(path)
    entry = data_facts.entry_of(one, data)
    table(tmp_path, 30)
    entry.write({"counted": {"train_size": 1}})
    assert not cache.exists()
    monkeypatch.setattr(kept_facts, "RECENT", 2.0)
    data_facts.counted(*opened(path))
    assert not cache.exists()
    os.utime(tmp_path / "t.csv", (OLD, OLD))
    data_facts.counted(*opened(path))
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("damage", ["empty", "half", "digit", "binary", "list", "folder", "deep"])
def test_a_damaged_entry_is_ignored_and_rewritten(damage: str, tmp_path: Path, cache: Path) -> None:
    path = written(tmp_path, {"dataset": {"Csv": {"path": str(table(tmp_path)), "target": "b"}}})
    counts = data_facts.counted(*opened(path))
    (entry,) = cache.iterdir()
    good = entry.read_text()
    if damage == "folder":
        entry.unlink()
        (entry / "within").mkdir(parents=True)
    else:
        deep = "[" * 100_000
        content = {
            "empty": "",
            "half": good[: len(good) // 2],
            "digit": good.replace("16", "17"),
            "binary": "\xff\0",
            "list": f"{kept_facts._checksum('[1]')}\n[1]",
            "deep": f"{kept_facts._checksum(deep)}\n{deep}",
        }
        entry.write_bytes(content[damage].encode("latin-1"))
    assert data_facts.counted(*opened(path)) == counts
    assert damage == "folder" or entry.read_text() == good
    assert [one.name for one in cache.iterdir()] == [entry.name]  # nothing half-written is left


@pytest.mark.parametrize("folder", ["a file", "below a file", "missing", "read-only", "off", "no home"])
def test_without_a_usable_folder_everything_works(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"dataset": {"Csv": {"path": str(table(tmp_path)), "target": "b"}}})
    place = tmp_path / "place"
    if folder == "read-only":
        place.mkdir(mode=0o500)
        monkeypatch.setattr(kept_facts.tempfile, "mkstemp", _refused)  # root may write everywhere
    elif folder not in ("missing", "no home"):
        place.write_text("")
    if folder == "off":
        place.unlink()
        monkeypatch.setenv(kept_facts.SWITCH, "off")
    monkeypatch.setenv("DLTOOL_CACHE", str(place / "x" if folder == "below a file" else place))
    if folder == "no home":
        monkeypatch.setenv("DLTOOL_CACHE", "~nobody-of-this-name/cache")
    for _ in range(2):
        assert data_facts.counted(*opened(path)) == {"train_size": 16}
    assert place.exists() == (folder not in ("off", "no home"))


def _refused(*_: Any, **__: Any) -> Any:
    raise PermissionError(13, "Permission denied")


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(kept_facts, "MOST_ENTRIES", 5)
    file = text(tmp_path / "f", "x")
    for number in range(9):
        kept_facts.Entry({"number": number}, [file]).write({"n": number})
        newest = max(cache.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        os.utime(newest, (OLD + number, OLD + number))
    assert len(list(cache.iterdir())) == 5
    assert kept_facts.Entry({"number": 8}, [file]).read() == {"n": 8}
    assert kept_facts.Entry({"number": 0}, [file]).read() == {}
    kept_facts.Entry({"large": 1}, [file]).write({"names": ["x" * 99] * 9_999})
    assert kept_facts.Entry({"large": 1}, [file]).read() == {}


def test_what_json_would_change_comes_back_as_it_was_or_is_not_kept(tmp_path: Path) -> None:
    file = text(tmp_path / "f", "x")
    facts = {"shape": (28, 28, 1), "nested": [(None, 1.5), {"a": ()}], "names": ["ä", "\udcff", "日本"], "inf": 1e999}
    kept_facts.Entry({}, [file]).write(facts)
    assert kept_facts.Entry({}, [file]).read() == facts
    for value in ({1: 2}, np.int64(3), {kept_facts.TUPLE: 1}, {1, 2}, b"x"):
        kept_facts.Entry({"of": repr(value)}, [file]).write({"value": value})
        assert kept_facts.Entry({"of": repr(value)}, [file]).read() == {}


def test_writers_at_once_leave_whole_entries(tmp_path: Path, cache: Path) -> None:
    file = text(tmp_path / "f", "x")
    facts = {"long": list(range(5_000))}

    def work(number: int) -> None:
        for _ in range(10):
            entry = kept_facts.Entry({"number": number % 2}, [file])
            assert entry.read() in ({}, facts)
            entry.write(facts)
            for one in cache.glob("[!.]*"):
                one.unlink(missing_ok=True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not list(cache.glob(".*"))


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "up").symlink_to(tmp_path / "d")
    text(tmp_path / "d" / "f", "x")
    first = kept_facts.Entry({}, [tmp_path / "d"])._name
    assert first is not None
    text(tmp_path / "d" / "e" / "g", "y")
    assert kept_facts.Entry({}, [tmp_path / "d"])._name != first


def test_train_keeps_the_facts_and_spares_counting_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_reading: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"dataset": {"Cifar10": str(cifar(tmp_path))}, "validation_split": 0.5}
    plain = {
        "data": data,
        "model": [{"Rescaling": 0.01}, "Flatten", {"Dense": 10}],
        "compile": {"optimizer": "adam", "loss": {"SparseCategoricalCrossentropy": {"from_logits": True}}},
    }
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(plain))
    trained(path, "--out", "a")
    from dltool.data.formats import cifar_folders

    listed: list[Path] = []
    real = cifar_folders.listing
    monkeypatch.setattr(cifar_folders, "listing", lambda place, names: (listed.append(place), real(place, names))[1])
    trained(path, "--out", "b")
    assert sorted(place.name for place in listed) == ["test", "train"]  # each once, to read it
    assert json.loads(Path("a/data.json").read_text()) == json.loads(Path("b/data.json").read_text())
    no_reading()
    assert data_facts.counted(*opened(path)) == {"train_size": 10}
    assert data_facts.facts(*opened(path))["class_names"][0] == "airplane"


def test_nothing_is_unpickled() -> None:
    assert "pickle" not in Path(kept_facts.__file__).read_text()

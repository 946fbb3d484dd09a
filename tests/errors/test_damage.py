"""Damaged files of every format end in one line that names them, or are still valid: never in another error."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dltool.errors import DltoolError
from dltool.lr_schedule import run_plans
from dltool.recipe import build
from dltool.recipe import reading as recipe
from dltool.recipe.data import Data, reading
from dltool.runs import resume as changes
from dltool.runs.directory import RunDirectory
from tests import command_line

FEW = {"cuts": 8, "changes": 24}
MANY = {"cuts": 50, "changes": 200}
Read = Callable[[], object]


def damages(content: bytes, cuts: int, changes: int) -> Iterator[tuple[str, bytes]]:
    """What may befall a file: cut short at even and odd places, a byte changed, its halves swapped, no byte left."""
    generator = np.random.default_rng(0)
    for kept in sorted({0, 1, *np.linspace(0, len(content) - 1, cuts).astype(int).tolist()}):
        yield f"cut to {kept} bytes", content[:kept]
    for _ in range(changes):
        place = int(generator.integers(len(content)))
        changed = bytearray(content)
        changed[place] ^= int(generator.integers(1, 256))
        yield f"byte {place} changed", bytes(changed)
    half = len(content) // 2
    yield "halves swapped", content[half:] + content[:half]


def check(file: Path, read: Read, cuts: int, changes: int, statuses: tuple[int, ...] = (5,)) -> None:
    """Damage `file` in every way; reading succeeds, or fails with a status and one line that names the file."""
    content = file.read_bytes()
    read()  # undamaged
    failed = 0
    for damage, damaged in damages(content, cuts, changes):
        file.write_bytes(damaged)
        try:
            read()
        except DltoolError as error:
            failed += 1
            assert error.status in statuses, f"{damage}: status {error.status}: {error}"
            assert "\n" not in str(error) or 2 in statuses, f"{damage}: {error}"
            assert file.name.split(".")[0] in str(error), f"{damage}: {error}"  # or the folder it was unpacked to
        except Exception as error:
            raise AssertionError(f"{damage}: {type(error).__name__}: {error}") from error
    file.write_bytes(content)
    assert failed > 0, "no damage was seen"


def all_of(dataset: str) -> Read:
    """Read all of a dataset that a recipe's words describe."""

    def read() -> None:
        with reading():
            one = build.dataset(recipe.from_text(dataset, "data"))
            data = Data(one)
            assert data.facts
            for part in one.sizes():
                one.read(part)

    return read


def pictures(folder: Path, suffix: str) -> list[Path]:
    generator = np.random.default_rng(1)
    files = []
    for name in ("cat", "dog"):
        for number in range(3):
            path = folder / name / f"{number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
            files.append(path)
    return files


def table() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    number = generator.normal(size=40)
    return pd.DataFrame({"a": number, "b": generator.choice(["x", "y"], 40), "y": np.where(number > 0, "up", "down")})


def _csv(folder: Path) -> tuple[Path, Read]:
    table().to_csv(folder / "t.csv", index=False)
    return folder / "t.csv", all_of(f"Csv: {{path: {folder}/t.csv, target: y}}")


def _csv_gz(folder: Path) -> tuple[Path, Read]:
    table().to_csv(folder / "t.csv.gz", index=False)
    return folder / "t.csv.gz", all_of(f"Csv: {{path: {folder}/t.csv.gz, target: y}}")


def _parquet(folder: Path) -> tuple[Path, Read]:
    table().to_parquet(folder / "t.parquet")
    return folder / "t.parquet", all_of(f"Csv: {{path: {folder}/t.parquet, target: y}}")


def _npz(folder: Path) -> tuple[Path, Read]:
    np.savez(folder / "a.npz", x=np.random.default_rng(3).normal(size=(20, 3)), y=np.arange(20) % 3)
    return folder / "a.npz", all_of(f"Npz: {{path: {folder}/a.npz}}")


def _npz_compressed(folder: Path) -> tuple[Path, Read]:
    np.savez_compressed(folder / "c.npz", x=np.random.default_rng(3).normal(size=(20, 3)), y=np.arange(20) % 3)
    return folder / "c.npz", all_of(f"Npz: {{path: {folder}/c.npz}}")


def _image(suffix: str) -> Callable[[Path], tuple[Path, Read]]:
    def make(folder: Path) -> tuple[Path, Read]:
        files = pictures(folder / "pictures", suffix)
        return files[1], all_of(f"ImageFolder: {{path: {folder}/pictures, image_size: [8, 8]}}")

    return make


def _archive(name: str) -> Callable[[Path], tuple[Path, Read]]:
    def make(folder: Path) -> tuple[Path, Read]:
        files = pictures(folder / "pictures", ".png")
        path = folder / name
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for file in files:
                    archive.write(file, file.relative_to(folder))
        else:
            with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as archive:
                for file in files:
                    archive.add(file, file.relative_to(folder))
        return path, all_of(f"ImageFolder: {{path: {path}, image_size: [8, 8]}}")

    return make


def _idx(folder: Path) -> tuple[Path, Read]:
    generator = np.random.default_rng(4)
    for part, count in (("train", 12), ("t10k", 6)):
        for name, array in (
            ("images-idx3", generator.integers(0, 256, (count, 28, 28), np.uint8)),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder / "train-images-idx3-ubyte.gz", all_of(f"Mnist: {{path: {folder}}}")


def _text_gz(folder: Path) -> tuple[Path, Read]:
    text = "".join(f"line {number} of a text that is read by its characters\n" for number in range(60))
    (folder / "text.txt.gz").write_bytes(gzip.compress(text.encode()))
    return folder / "text.txt.gz", all_of(f"TextFile: {{path: {folder}/text.txt.gz, sequence_length: 8}}")


def _npy_picture(folder: Path) -> tuple[Path, Read]:
    from dltool.filters.given_images import read_images
    from dltool.output.pixels import PixelRange

    np.save(folder / "image.npy", np.random.default_rng(5).normal(size=(8, 8, 3)).astype(np.float32))

    def read() -> None:
        with reading():
            read_images([folder / "image.npy"], (8, 8, 3), PixelRange(0.0, 1.0, 0.0, 1.0))

    return folder / "image.npy", read


DATA: dict[str, Callable[[Path], tuple[Path, Read]]] = {
    "csv": _csv,
    "csv.gz": _csv_gz,
    "parquet": _parquet,
    "npz": _npz,
    "npz, compressed": _npz_compressed,
    "npy": _npy_picture,
    "png": _image(".png"),
    "jpg": _image(".jpg"),
    "bmp": _image(".bmp"),
    "zip": _archive("pictures.zip"),
    "tar": _archive("pictures.tar"),
    "tar.gz": _archive("pictures.tar.gz"),
    "idx.gz": _idx,
    "txt.gz": _text_gz,
}


@pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ("jpg", "bmp") else ()) for name in DATA]
)
def test_a_damaged_file_of_data_is_named(
    name: str, amount: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path / "cache"))
    if name == "parquet":
        pytest.importorskip("pyarrow")
    check(*DATA[name](tmp_path), **amount)


# -- files of a run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model's run, whose text is read in pieces."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "text.txt").write_text("the cat sat on the mat and the dog sat on the log\n" * 40)
    (folder / "r.yaml").write_text(f"""\
data:
  dataset: {{TextFile: {{path: {folder}/text.txt, sequence_length: 8, tokens: pieces, vocabulary_size: 273}}}}
  validation_split: 0.1
model:
  - Embedding: {{input_dim: "${{data.num_classes}}", output_dim: 4}}
  - Dense: ${{data.num_classes}}
compile: {{optimizer: Adam, loss: {{SparseCategoricalCrossentropy: {{from_logits: true}}}}}}
fit: {{epochs: 2, batch_size: 16, callbacks: [{{EarlyStopping: {{patience: 9, restore_best_weights: true}}}}]}}
""")
    command_line.trained(folder / "r.yaml", "--out", folder / "run")
    return folder / "run"


def _read_of_run(run: RunDirectory, name: str) -> Any:
    if name.startswith("checkpoint/"):
        return run.load_state(name)
    if name == "model.keras":
        return run.load_model()
    if name == "recipe.yaml":
        return changes.own_recipe(run)
    if name.startswith("vocabulary/"):
        return changes.own_vocabulary(run)
    if name == "history.csv":
        return run_plans.history(run)
    return run.sessions() if name == "environment.json" else run.read_json(name)


@pytest.mark.parametrize("amount", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
@pytest.mark.parametrize(
    "name",
    ["checkpoint/state.npz", "checkpoint/best-*.npz", "model.keras", "vocabulary/pieces.model", "history.csv",
     "metrics.json", "environment.json", "data.json", "recipe.yaml"],
)  # fmt: skip
def test_a_damaged_file_of_a_run_is_named(name: str, amount: dict[str, int], run_: Path) -> None:
    (file,) = run_.glob(name)
    run = RunDirectory(run_)
    statuses = (5, 2) if name == "recipe.yaml" else (5,)
    check(file, lambda: _read_of_run(run, str(file.relative_to(run_))), **amount, statuses=statuses)


def test_the_battery_sees_an_error_that_is_none_of_dltools(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x1f\x8b" + bytes(40))
    with pytest.raises(AssertionError, match="BadGzipFile|EOFError|zlib"):
        content = gzip.compress(b"well")
        (tmp_path / "x").write_bytes(content)
        check(tmp_path / "x", lambda: gzip.GzipFile(fileobj=io.BytesIO((tmp_path / "x").read_bytes())).read(), **FEW)

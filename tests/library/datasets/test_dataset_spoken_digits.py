"""Spoken digits from archives made here, and the real ones where they are."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dltool.library.datasets.spoken_digits import SpokenDigits


def recording(samples: np.ndarray, channels: int = 1, rate: int = 8000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as found:
        for name, content in files.items():
            found.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three recordings of 4, 12 and 8 samples: 16384 is one half."""
    files = {
        "fsdd/recordings/3_anna_4.wav": recording(np.full(4, 16384)),
        "fsdd/recordings/3_anna_5.wav": recording(np.arange(12) * 1024),
        "fsdd/recordings/7_bert_49.wav": recording(np.full(8, -32768)),
        "fsdd/speakers.csv": b"name\n",
        "__MACOSX/fsdd/recordings/._3_anna_5.wav": b"junk",
    }
    return archive(tmp_path / "fsdd.zip", files)


def test_parts_digits_and_samples(path: Path) -> None:
    dataset = SpokenDigits(path, seconds=0.001)  # 8 samples
    assert dataset.sizes() == {"train": 2, "test": 1}
    assert dataset.facts()["input_shape"] == (8,)
    train, test = dataset.read("train"), dataset.read("test")
    np.testing.assert_array_equal(train.y, [3, 7])
    np.testing.assert_array_equal(train.x, [np.arange(8) / 32, np.full(8, -1.0)])  # the first is cut
    np.testing.assert_array_equal(test.x, [[0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]])  # filled up with silence
    assert train.x.dtype == np.float32 and train.y.dtype == np.int32


def test_a_folder_is_read_as_its_archive_is(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as found:
        found.extractall(tmp_path / "folder")
    one, other = SpokenDigits(path).read("train"), SpokenDigits(tmp_path / "folder").read("train")
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


def test_the_archive_below_dltool_data_is_found(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "fsdd").mkdir(parents=True)
    path.rename(tmp_path / "data" / "fsdd" / "fsdd.zip")
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path / "data"))
    assert SpokenDigits().sizes() == {"train": 2, "test": 1}
    monkeypatch.delenv("DLTOOL_DATA")
    with pytest.raises(FileNotFoundError, match="set DLTOOL_DATA"):
        SpokenDigits().sizes()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (recording(np.zeros(8), channels=2), "Got 2 channels"),
        (recording(np.zeros(8), rate=16000), "Got 1 channels, 16-bit, 16000 Hz"),
        (recording(np.zeros(8))[:20], "cut short or damaged"),
        (b"no sound", "cut short or damaged"),
    ],
)
def test_a_broken_recording_is_named(content: bytes, match: str, tmp_path: Path) -> None:
    files = {"1_anna_0.wav": recording(np.zeros(4)), "1_anna_9.wav": content}
    dataset = SpokenDigits(archive(tmp_path / "fsdd.zip", files))
    with pytest.raises(ValueError, match=rf"1_anna_9.wav.*{match}"):
        dataset.read("train")


def test_an_archive_without_recordings_and_a_length_of_nothing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no recordings of the train part"):
        SpokenDigits(archive(tmp_path / "fsdd.zip", {"a.txt": b""})).sizes()
    for seconds in (0, -1, "1", 0.00001):
        with pytest.raises(ValueError, match="'seconds'"):
            SpokenDigits(seconds=seconds)  # type: ignore[arg-type]


@pytest.mark.data
def test_the_real_recordings() -> None:
    dataset = SpokenDigits(seconds=2.3)
    assert dataset.sizes() == {"train": 2700, "test": 300}
    test = dataset.read("test")
    np.testing.assert_array_equal(np.bincount(test.y), np.full(10, 30))
    assert (np.abs(test.x).max(axis=1) > 0).all()

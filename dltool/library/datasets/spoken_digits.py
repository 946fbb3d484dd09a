"""The Free Spoken Digit Dataset."""

from __future__ import annotations

import io
import os
import re
import wave
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples
from dltool.data.formats import locate, members
from dltool.errors.damage import DamagedFileError, undamaged

RATE = 8000  # samples a second
FOLDERS = ("fsdd", "free-spoken-digit-dataset")
RECORDING = re.compile(r"(?:^|/)([0-9])_([^_/]+)_([0-9]+)\.wav$")  # digit, speaker, index
TESTED = 5  # recordings of each digit by each speaker with a smaller index are the test part


class SpokenDigits(Dataset):
    """3,000 spoken English digits: x float32 (n, samples) in [-1, 1), y int32 (n,) in 0..9.

    Six speakers spoke each digit 50 times; the official parts are "test" (300, index 0 to 4) and "train" (2,700).
    8,000 samples per second, cut or filled up with silence (0) at the end; `MelSpectrogram` of Keras turns them into
    frames.

    Args:
        path: zip, tar or folder of the recordings. Defaults to $DLTOOL_DATA/fsdd or its one archive.
        seconds: length of an example, > 0. Defaults to 1.0; the longest recording has 2.28.
    Raises:
        FileNotFoundError: if `path` does not exist, or holds no recordings.
        ValueError: on reading, if a recording is damaged or is not mono, 16-bit, 8 kHz.
    Limits: all speakers are in both parts, so results do not cover new voices.
    Reference: Jackson et al., Free Spoken Digit Dataset, v1.0.10; the time-delay nets and bidirectional LSTMs of
        lecture slides 131 and 137 were made for speech.
    """

    def __init__(self, path: str | os.PathLike | None = None, seconds: float = 1.0):
        self.path = None if path is None else arguments.existing("SpokenDigits", "path", locate.placed(path))
        self.seconds = arguments.real("SpokenDigits", "seconds", seconds)
        if round(self.seconds * RATE) < 1:
            raise arguments.wrong("SpokenDigits", "seconds", "a number > 0", seconds)

    def sizes(self) -> dict[str, int]:
        return {part: len(found) for part, found in self._recordings.items()}

    def facts(self) -> dict[str, Any]:
        return {
            "input_shape": (round(self.seconds * RATE),),
            "num_classes": 10,
            "class_names": [str(digit) for digit in range(10)],
            "sampling_rate": RATE,
        }

    def files(self) -> list[Path]:
        return [self._found]

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("SpokenDigits", part, ("train", "test"))
        return np.array([digit for digit, *_ in self._recordings[part]], np.int32)

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        return "file", [name for _, name, _ in self._recordings[part]]

    def read(self, part: str) -> Examples:
        y = self.labels(part)
        x = np.zeros((len(y), round(self.seconds * RATE)), np.float32)
        for row, (_, name, content) in zip(x, self._recordings[part], strict=True):
            samples = _samples(f"{self._found}: {name}", content())[: len(row)]
            row[: len(samples)] = samples
        return Examples(x, y)

    @cached_property
    def _found(self) -> Path:
        if self.path is not None:
            return self.path
        for folder in locate.data_folders(*FOLDERS):
            if folder.is_dir():
                archives = sorted(p for p in folder.iterdir() if p.name.endswith(members.ARCHIVES))
                return archives[0] if len(archives) == 1 else folder
        raise FileNotFoundError(
            "SpokenDigits: no fsdd folder below $DLTOOL_DATA: set DLTOOL_DATA to the folder that holds it, or pass "
            "'path'. The recordings are at https://github.com/Jakobovski/free-spoken-digit-dataset."
        )

    @cached_property
    def _recordings(self) -> dict[str, list[tuple[int, str, Callable[[], bytes]]]]:
        """Part -> (digit, name, content) of each recording, by name."""
        found: dict[str, list[tuple[int, str, Callable[[], bytes]]]] = {"train": [], "test": []}
        for name, content in members.files(self._found).items():
            if match := RECORDING.search(name):
                part = "test" if int(match[3]) < TESTED else "train"
                found[part].append((int(match[1]), name, content))
        for part, recordings in found.items():
            if not recordings:
                raise FileNotFoundError(
                    f"SpokenDigits: {self._found} holds no recordings of the {part} part, named as 7_jackson_32.wav"
                )
        return found


def _samples(name: str, content: bytes) -> np.ndarray:
    """Return the samples of a WAV file, float32 in [-1, 1)."""
    with undamaged(name), wave.open(io.BytesIO(content)) as file:
        kind = (file.getnchannels(), 8 * file.getsampwidth(), file.getframerate())
        if kind != (1, 16, RATE):
            raise DamagedFileError(
                f"{name}: must be mono, 16-bit, {RATE} Hz. Got {kind[0]} channels, {kind[1]}-bit, {kind[2]} Hz."
            )
        raw = file.readframes(file.getnframes())
        if len(raw) != 2 * file.getnframes():
            raise EOFError(f"it ends after {len(raw) // 2} of {file.getnframes()} samples")
    return np.frombuffer(raw, "<i2").astype(np.float32) / 32768

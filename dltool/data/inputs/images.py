"""Image files, folders, glob patterns and archives as a model's inputs, decoded by several threads."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.formats import image_decoding, image_headers, members
from dltool.data.formats.members import ARCHIVES, is_junk
from dltool.data.inputs.base import Batch
from dltool.errors import one_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
COLOURS = {channels: mode for mode, channels in image_decoding.CHANNELS.items()}


_Reading = tuple[str, Path, Future[np.ndarray | str]]  # a picture's name, its file, its pixels or why there are none


class ImageFiles:
    """Pictures of any size, resized to the model's, or each at its own size.

    Args:
        paths: files, folders (with all folders below them), patterns such as "scans/*.png", and archives.
        shape: (rows, columns, channels) or (rows, columns) that the model takes; (None, None, channels) leaves each
            picture its size, one a batch.
        low, high: values of black and white that the model was trained on.
        interpolation, crop: how training resized pictures, as `ImageFolder` does.
        smallest: (rows, columns) that pictures of their own size need; smaller ones are left out.
    Raises:
        ValueError: the model takes no pictures of 1, 3 or 4 channels.
    """

    word = "file"

    def __init__(
        self,
        paths: Sequence[str],
        shape: Sequence[int | None],
        *,
        low: float = 0,
        high: float = 255,
        interpolation: str = "bilinear",
        crop: bool = False,
        smallest: tuple[int, int] = (1, 1),
    ) -> None:
        channels = shape[2] if len(shape) == 3 else 1 if len(shape) == 2 else 0
        self.is_whole = len(shape) == 3 and shape[0] is None and shape[1] is None
        if channels not in COLOURS or (None in shape and not self.is_whole):
            sizes = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"its inputs are {sizes}, no pictures of a known size with 1, 3 or 4 channels")
        self.paths, self.shape, self.mode = paths, tuple(shape), COLOURS[channels]
        self.low, self.high, self.interpolation, self.crop = low, high, interpolation, crop
        self.smallest = smallest

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = self._files(leave_out)
            ahead: list[_Reading] = []  # decoded while the batch before is answered
            while group := list(itertools.islice(files, 1 if self.is_whole else size)):
                before, ahead = ahead, [(name, path, pool.submit(self._read, path)) for name, path in group]
                yield from self._batch(before, leave_out)
            yield from self._batch(ahead, leave_out)

    def _batch(self, reading: Sequence[_Reading], leave_out: Callable[[str], None]) -> Iterator[Batch]:
        """Yield a batch of the pictures that could be read, if there are any."""
        kept = []
        for name, path, future in reading:
            pixels = future.result()
            if isinstance(pixels, str):
                leave_out(f"{name}: {pixels}")
            else:
                kept.append((name, path, pixels))
        if kept:
            names, paths, images = zip(*kept, strict=True)
            yield Batch(names, self._values(np.stack(images)), paths)

    def _files(self, leave_out: Callable[[str], None]) -> Iterator[tuple[str, Path]]:
        """Yield the name that is shown and the path of each file."""
        for text in self.paths:
            path = Path(text)
            if path.is_dir():
                yield from _below(path, path, leave_out)
            elif path.is_file() and path.name.lower().endswith(ARCHIVES):
                try:
                    root = members.extracted(path)
                except (ValueError, OSError) as error:
                    leave_out(str(error))
                    continue
                yield from _below(root, path, leave_out)
            elif path.exists():
                yield text, path
            elif matches := sorted(glob.glob(text, recursive=True)):  # noqa: PTH207 - takes absolute patterns
                # among several matches, folders without pictures are no mistake
                said = leave_out if len(matches) == 1 else _ignore
                for match in map(Path, matches):
                    yield from _below(match, match, said) if match.is_dir() else [(str(match), match)]
            else:
                leave_out(f"{text}: there is no such file or folder.")

    def _read(self, path: Path) -> np.ndarray | str:
        """Return pixels uint8 (rows, columns, channels), or in words why there are none."""
        import tensorflow as tf

        try:
            data = path.read_bytes()
            coding = image_headers.coding(os.fspath(path))
            is_rare = coding is not None and coding.is_rare
            if coding is None:
                return "is no readable image (no known format). Replace it, or leave it out."
            pixels = np.asarray(self._decode(tf.constant(data), tf.constant(is_rare)))
        except OSError as error:
            return f"cannot be read ({error.strerror})."
        except Exception as error:  # TensorFlow and Pillow raise many kinds of damaged files
            return f"is no readable image ({one_line(error).rstrip('.')[:120]}). Replace it, or leave it out."
        (rows, columns), (least_rows, least_columns) = pixels.shape[:2], self.smallest
        if rows < least_rows or columns < least_columns:
            return f"is {rows} x {columns} pixels, smaller than the {least_rows} x {least_columns} that the run knows."
        return pixels

    @cached_property
    def _decode(self) -> Any:
        """The compiled decoder."""
        import tensorflow as tf

        rows, columns = self.shape[:2]
        size = None if rows is None or columns is None else (rows, columns)

        @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool)], autograph=False)
        def decode(data: Any, is_rare: Any) -> Any:
            return image_decoding.decode(data, size, self.mode, self.interpolation, self.crop, is_rare)

        return decode

    def _values(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels in the range that the model was trained on: bytes where that is 0 to 255."""
        if not self.is_whole:
            pixels = pixels.reshape(len(pixels), *self.shape)
        if (self.low, self.high) == (0, 255):
            return pixels
        return (self.low + pixels.astype(np.float32) * ((self.high - self.low) / 255)).astype(np.float32)


def _below(folder: Path, shown: Path, leave_out: Callable[[str], None]) -> Iterator[tuple[str, Path]]:
    """Yield the pictures in a folder and those below it, sorted by name, without hidden files."""
    is_empty = True
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not is_junk(name))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and not is_junk(name):
                path, is_empty = Path(root, name), False
                yield str(shown / path.relative_to(folder)), path
    if is_empty:
        leave_out(f"{shown}: holds no pictures ({', '.join(suffix[1:] for suffix in SUFFIXES)}).")


def _ignore(line: str) -> None:
    """Drop a line."""

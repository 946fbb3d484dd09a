"""Arrays of .npz and .npy files as a model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dltool.data.formats import npy_headers
from dltool.data.inputs.base import Batch
from dltool.errors.damage import undamaged

SUFFIXES = (".npz", ".npy")


class ArrayFiles:
    """Examples along the first axis of an array: of an .npz file `x`, `x_test`, or the only array.

    Args:
        paths: files.
        shape: of an example, as the model takes it; None where any size will do.
    """

    word = "row"

    def __init__(self, paths: Sequence[str], shape: Sequence[int | None]) -> None:
        self.paths, self.shape = paths, tuple(shape)

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        for path in self.paths:
            try:
                x = self._read(Path(path))
            except ValueError as error:
                leave_out(str(error))
                continue
            for start in range(0, len(x), size):
                rows = range(start, min(start + size, len(x)))
                places = list(rows) if len(self.paths) == 1 else [f"{path}:{row}" for row in rows]
                yield Batch(places, x[start : start + size])

    def _read(self, path: Path) -> np.ndarray:
        """Return the examples of a file.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file.")
        with undamaged(f"{path}:", "give another.", "is no readable file of arrays"):
            if path.suffix.lower() == ".npy":
                x = npy_headers.single(path)
            else:
                x = npy_headers.array(path, _key(path, list(npy_headers.headers(path))))
        fits = x.ndim == len(self.shape) + 1 and all(
            wanted in (None, given) for given, wanted in zip(x.shape[1:], self.shape, strict=True)
        )
        if not fits:
            wanted = " x ".join("any" if size is None else str(size) for size in ("n", *self.shape))
            given = " x ".join(map(str, x.shape))
            raise ValueError(f"{path}: the array is {given}, the model takes {wanted}.")
        if x.dtype.kind not in "buif":
            raise ValueError(f"{path}: the array holds {x.dtype}, the model takes numbers.")
        return x


def _key(path: Path, names: Sequence[str]) -> str:
    """Return the name of the array of inputs."""
    for wanted in ("x", "x_test"):
        for name in names:
            if name.lower() == wanted:
                return name
    if len(names) == 1:
        return names[0]
    raise ValueError(f"{path}: holds the arrays {', '.join(names)}. Name the inputs x.")

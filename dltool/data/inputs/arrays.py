"""Arrays of .npz and .npy files as a model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dltool.data.formats import npy_headers
from dltool.data.inputs.base import Batch
from dltool.errors.damage import DamagedFileError, undamaged

SUFFIXES = (".npz", ".npy")


class ArrayFiles:
    """Examples along the first axis of arrays: of an .npz file `x`, `x_test`, or the only array.

    Args:
        paths: files.
        shape: of an example, as the model takes it, None where any size will do; or of several inputs by their names,
            which are those of the arrays in .npz files.
    """

    word = "row"

    def __init__(self, paths: Sequence[str], shape: Sequence[int | None] | Mapping[str, Sequence[int | None]]) -> None:
        self.paths, self.shape = paths, shape

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        for path in self.paths:
            try:
                x = self._read(Path(path))
                size_of_all = len(next(iter(x.values())) if isinstance(x, Mapping) else x)
            except ValueError as error:
                leave_out(str(error))
                continue
            for start in range(0, size_of_all, size):
                some = slice(start, min(start + size, size_of_all))
                rows = range(some.start, some.stop)
                places = list(rows) if len(self.paths) == 1 else [f"{path}:{row}" for row in rows]
                yield Batch(places, {name: x[name][some] for name in x} if isinstance(x, Mapping) else x[some])

    def _read(self, path: Path) -> np.ndarray | dict[str, np.ndarray]:
        """Return the examples of a file, by name where there are several inputs.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file.")
        with undamaged(f"{path}:", "give another.", "is no readable file of arrays"):
            if isinstance(self.shape, Mapping):
                return self._several(path, self.shape)
            if path.suffix.lower() == ".npy":
                x = npy_headers.single(path)
            else:
                x = npy_headers.array(path, _key(path, list(npy_headers.headers(path)), ("x", "x_test")))
        return _checked(path, "", x, self.shape)

    def _several(self, path: Path, shapes: Mapping[str, Sequence[int | None]]) -> dict[str, np.ndarray]:
        if path.suffix.lower() != ".npz":
            raise DamagedFileError(f"{path}: the model takes {' and '.join(shapes)}. Give an .npz file of them.")
        held = list(npy_headers.headers(path))
        keys = {name: _key(path, held, (name, f"{name}_test")) for name in shapes}
        x = {name: _checked(path, key, npy_headers.array(path, key), shapes[name]) for name, key in keys.items()}
        sizes = {keys[name]: len(array) for name, array in x.items()}
        if len(set(sizes.values())) > 1:
            counted = ", ".join(f"{size} of '{key}'" for key, size in sizes.items())
            raise DamagedFileError(f"{path}: holds {counted}. There must be as many of each.")
        return x


def _checked(path: Path, key: str, x: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    """Return an array that the model takes.

    Raises:
        DamagedFileError: it has another shape, or holds no numbers.
    """
    array = f"the array '{key}'" if key else "the array"
    fits = x.ndim == len(shape) + 1 and all(
        wanted in (None, given) for given, wanted in zip(x.shape[1:], shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if size is None else str(size) for size in ("n", *shape))
        raise DamagedFileError(f"{path}: {array} is {' x '.join(map(str, x.shape))}, the model takes {wanted}.")
    if x.dtype.kind not in "buif":
        raise DamagedFileError(f"{path}: {array} holds {x.dtype}, the model takes numbers.")
    return x


def _key(path: Path, names: Sequence[str], wanted: Sequence[str]) -> str:
    """Return the name of an array of inputs."""
    for one in wanted:
        for name in names:
            if name.lower() == one.lower():
                return name
    if len(names) == 1 and wanted[0] == "x":
        return names[0]
    raise DamagedFileError(f"{path}: holds the arrays {', '.join(names)}. Name the inputs {wanted[0]}.")

"""Arrays of .npz and .npy files as a model's inputs, read a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dltool.data.formats import npy_headers
from dltool.data.formats.npy_headers import ArrayStream
from dltool.data.inputs.base import Batch
from dltool.errors.damage import DamagedFileError, undamaged

SUFFIXES = (".npz", ".npy")


class ArrayFiles:
    """Examples along the first axis of arrays.

    Args:
        paths: files.
        shape: of an example, as the model takes it, None where any size will do; or of several inputs by their names,
            which are those of the arrays in .npz files.
        name: of the array in .npz files where the model takes one: NAME, NAME_test, or the only array.
    """

    word = "row"

    def __init__(
        self, paths: Sequence[str], shape: Sequence[int | None] | Mapping[str, Sequence[int | None]], name: str = "x"
    ) -> None:
        self.paths, self.several = paths, isinstance(shape, Mapping)
        self.shapes: Mapping[str, Sequence[int | None]] = shape if isinstance(shape, Mapping) else {name: shape}

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        for path in self.paths:
            try:
                with self._opened(Path(path)) as streams:
                    count = next(iter(streams.values())).shape[0]
                    for start in range(0, count, size):
                        with _reading(path):
                            x = {name: stream.read(size) for name, stream in streams.items()}
                        places = self._places(path, start, min(start + size, count))
                        yield Batch(places, x if self.several else next(iter(x.values())))
            except ValueError as error:
                leave_out(str(error))
            except OSError as error:
                leave_out(f"{path}: {error.strerror}.")

    def _places(self, path: str, start: int, stop: int) -> list[Any]:
        """Return rows from 0; of several files with the file before each."""
        return list(range(start, stop)) if len(self.paths) == 1 else [f"{path}:{row}" for row in range(start, stop)]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[dict[str, ArrayStream]]:
        """Open the arrays of a file by the names of the inputs.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        if not path.is_file():
            raise ValueError(f"{path}: there is no such file.")
        is_single = path.suffix.lower() != ".npz"
        if is_single and self.several:
            raise ValueError(f"{path}: the model takes {' and '.join(self.shapes)}. Give an .npz file of them.")
        keys: dict[str, str | None] = dict.fromkeys(self.shapes)
        with ExitStack() as stack:
            with _reading(path):
                if not is_single:
                    held = list(npy_headers.headers(path))
                    keys = {name: _key(path, held, name, not self.several) for name in self.shapes}
                opened = stack.enter_context(npy_headers.streams(path, list(keys.values())))
            streams = dict(zip(keys, opened, strict=True))
            for name, stream in streams.items():
                _check(path, keys[name], stream, self.shapes[name])
            sizes = {keys[name]: stream.shape[0] for name, stream in streams.items()}
            if len({*sizes.values()}) > 1:
                counted = ", ".join(f"{size} of '{key}'" for key, size in sizes.items())
                raise ValueError(f"{path}: holds {counted}. There must be as many of each.")
            if 0 in sizes.values():
                raise ValueError(f"{path}: holds no examples.")
            yield streams


def _reading(path: Path | str) -> Any:
    return undamaged(f"{path}:", "give another.", "is no readable file of arrays")


def _check(path: Path, key: str | None, stream: ArrayStream, shape: Sequence[int | None]) -> None:
    """Raise `ValueError` if an array has another shape than the model takes, or holds no numbers."""
    array = f"the array '{key}'" if key else "the array"
    fits = len(stream.shape) == len(shape) + 1 and all(
        wanted in (None, given) for given, wanted in zip(stream.shape[1:], shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if size is None else str(size) for size in ("n", *shape))
        given = " x ".join(map(str, stream.shape)) or "a single number"
        raise ValueError(f"{path}: {array} is {given}, the model takes {wanted}.")
    if stream.dtype.kind not in "buif":
        raise ValueError(f"{path}: {array} holds {stream.dtype}, the model takes numbers.")


def _key(path: Path, held: Sequence[str], name: str, is_only: bool) -> str:
    """Return the key in the file of an array of inputs.

    Args:
        is_only: whether the model takes this one alone: then the only array will do.
    """
    for wanted in (name, f"{name}_test"):
        for key in held:
            if key.lower() == wanted.lower():
                return key
    if len(held) == 1 and is_only:
        return held[0]
    raise DamagedFileError(f"{path}: holds the arrays {', '.join(held) or 'none'}. Name the inputs {name}.")

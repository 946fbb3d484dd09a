"""A reader of PyTorch's weight files that builds arrays of numbers, nothing else.

PyTorch's own reader needs PyTorch, and a file may have it run anything. This one carries out the pickle's instructions
on a list of admitted names, and takes the numbers from the bytes behind it.

Reference: `torch.serialization._legacy_save`, the format of `torch.save` before PyTorch 1.6.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from dltool.data.formats.restricted_pickle import Name, Reader, Refused

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip
ADMITTED = {("torch", name) for name in STORAGES} | {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("collections", "OrderedDict"),
}


def load(path: Path) -> dict[str, np.ndarray]:
    """Return a state dict's tensors by name, in the order of the file.

    Args:
        path: a file that `torch.save(model.state_dict(), path)` wrote before PyTorch 1.6.
    Raises:
        OSError: the file can't be read.
        ValueError: it is no such file, is damaged, or asks for anything but tensors.
    """
    data = path.read_bytes()
    try:
        state = _read(data)
    except Refused as error:
        raise ValueError(
            f"{path} asks for {error}, which a file of weights does not need: do not trust it, fetch the original."
        ) from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is no file of PyTorch's weights, or damaged ({error}): fetch it again.") from error
    return state


def _read(data: bytes) -> dict[str, np.ndarray]:
    at, parts = 0, []
    for _ in range(5):  # magic number, protocol, sizes of C's types, the object, the keys of its storages
        reader = _TorchReader(data, at)
        parts.append(reader.read())
        if len(parts) == 1 and parts[0] != MAGIC:
            raise ValueError("it begins otherwise")
        at = reader.at
        if len(parts) == 4:
            storages = reader.storages
    _, protocol, system, state, keys = parts
    if protocol != PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was written by another version, or on another kind of processor")
    if not isinstance(state, dict) or not all(isinstance(one, _Tensor) for one in state.values()):
        raise ValueError("it holds other things than tensors by name")
    for key in keys:
        at = storages[key].fill(data, at)
    return {str(name): tensor.array() for name, tensor in state.items()}


class _Storage:
    """Numbers of one type in a row, which the file holds behind its pickles."""

    def __init__(self, kind: str, size: Any) -> None:
        if type(size) is not int or size < 0:
            raise ValueError("a storage of no size")
        self.dtype, self.size = np.dtype(STORAGES[kind]), size
        self.numbers: np.ndarray | None = None

    def fill(self, data: bytes, at: int) -> int:
        """Take the numbers from `data`, and return where they end."""
        (size,) = struct.unpack_from("<q", data, at)
        if size != self.size:
            raise ValueError(f"a storage of {size} numbers that has {self.size}")
        self.numbers = np.frombuffer(data, self.dtype, size, at + 8)
        return at + 8 + size * self.dtype.itemsize


class _Tensor:
    """A view of a storage."""

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> None:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or any(type(one) is not int or one < 0 for one in numbers):
            raise ValueError("a tensor of no storage or shape")
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if len(shape) > 32 or math.prod(shape) > storage.size or (math.prod(shape) and last >= storage.size):
            raise ValueError("a tensor that is larger than its storage")
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def array(self) -> np.ndarray:
        if self.storage.numbers is None:
            raise ValueError("a storage without numbers")
        if not math.prod(self.shape):
            return np.empty(self.shape, self.storage.dtype)
        steps = [stride * self.storage.dtype.itemsize for stride in self.strides]
        return as_strided(self.storage.numbers[self.offset :], self.shape, steps, writeable=False)


class _TorchReader(Reader):
    """Reads one of the pickles of a file; storages are noted, and filled later."""

    admitted = ADMITTED

    def __init__(self, data: bytes, at: int) -> None:
        super().__init__(data, at)
        self.storages: dict[str, _Storage] = {}

    def called(self, name: str, arguments: Sequence[Any]) -> Any:
        if name == "_rebuild_tensor_v2":
            return _Tensor(*arguments)
        if name == "OrderedDict" and tuple(arguments) in ((), ([],)):
            return {}
        raise Refused(f"a call of {name}")

    def found_outside(self, reference: Any) -> Any:
        kind, storage, key, _, size, view = reference
        if kind != "storage" or not isinstance(storage, Name) or storage.text not in STORAGES or view is not None:
            raise Refused("something other than numbers outside of it")
        return self.storages.setdefault(str(key), _Storage(storage.text, size))

    def build(self) -> None:
        """Leave out what a state dict notes in addition to its tensors (`_metadata`)."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise Refused("the state of what is no dict")

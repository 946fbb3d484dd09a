"""Weight files of PyTorch read without it: equal arrays, and nothing else than arrays."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.data.formats import torch_weights

KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage", "?": "BoolStorage"}


def _torch() -> dict[str, types.ModuleType]:
    """Return modules with the names that PyTorch's pickles hold, so that Python's own pickler writes them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments: object) -> None:
        raise AssertionError("PyTorch's own function is not called")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    return {"torch": torch, "torch._utils": utils}


class _Storage:
    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers, self.key = numbers, str(id(self))


class _View:
    """A tensor as PyTorch pickles it."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


def write(path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a state dict in the format of `torch.save` before PyTorch 1.6."""
    with monkeypatch.context() as patch:
        for name, module in _torch().items():
            patch.setitem(sys.modules, name, module)
        kept: dict[str, np.ndarray] = {}

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: Any) -> Any:
                if not isinstance(value, _Storage):
                    return None
                kept[value.key] = value.numbers
                kind = getattr(sys.modules["torch"], KINDS[value.numbers.dtype.str.replace("|b1", "?")])
                return "storage", kind, value.key, "cpu", len(value.numbers), None

        views = collections.OrderedDict()
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                steps = tuple(step // value.itemsize for step in value.strides)
                value = _View(_Storage(value.ravel("K")), 0, value.shape, steps)
            views[name] = value
        file = io.BytesIO()
        for value in (torch_weights.MAGIC, 1001, {"little_endian": True, "type_sizes": {"int": 4}}):
            pickle.dump(value, file, protocol=2)
        Pickler(file, protocol=2).dump(views)
        pickle.dump(list(kept), file, protocol=2)
        for numbers in kept.values():
            file.write(struct.pack("<q", len(numbers)) + numbers.tobytes())
        path.write_bytes(file.getvalue())


def test_arrays_of_every_type_and_layout_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {
        "kernel": rng.normal(size=(4, 3, 2)).astype("<f4"),
        "turned": np.asfortranarray(rng.normal(size=(3, 5))),
        "half": rng.normal(size=7).astype("<f2"),
        "count": np.array(12, "<i8"),
        "mask": np.array([True, False]),
        "nothing": np.zeros((0, 3), "<f4"),
    }
    write(tmp_path / "a.pth", state, monkeypatch)
    found = torch_weights.load(tmp_path / "a.pth")
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_views_share_a_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = _Storage(np.arange(12, dtype="<f4"))
    state = {"whole": _View(storage, 0, (3, 4), (4, 1)), "column": _View(storage, 1, (3,), (4,))}
    write(tmp_path / "a.pth", state, monkeypatch)
    found = torch_weights.load(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["whole"], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(found["column"], [1, 5, 9])


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (3, 5), (4, 1)), (1, (3, 4), (4, 1)), (0, (2,), (12,)), (-1, (2,), (1,)), (0, (2**40, 2**40), (0, 0)),
     (0, (3,), (1, 1)), (0, (13,), (0,)), (0, ("3",), (1,))],
)  # fmt: skip
def test_a_view_beyond_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: Any, strides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.pth", {"a": _View(_Storage(np.zeros(12, "<f4")), offset, shape, strides)}, monkeypatch)
    with pytest.raises(ValueError, match=r"a\.pth is no file of PyTorch's weights, or damaged"):
        torch_weights.load(tmp_path / "a.pth")


class _Malicious:
    def __init__(self, harm: Path) -> None:
        self.harm = harm

    def __reduce__(self) -> Any:
        return self.harm.mkdir, ()


def test_a_file_that_would_run_something_is_refused_and_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.pth", {"a": _Malicious(tmp_path / "harm")}, monkeypatch)
    with pytest.raises(ValueError, match=r"a\.pth asks for \w+\.getattr, .*do not trust it"):
        torch_weights.load(tmp_path / "a.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("value", [3, "text", [1, 2], None])
def test_what_is_no_tensor_is_refused(tmp_path: Path, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.pth", {"a": value}, monkeypatch)
    with pytest.raises(ValueError, match="it holds other things than tensors by name"):
        torch_weights.load(tmp_path / "a.pth")


def test_a_file_cut_short_or_changed_anywhere_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    write(path, {"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.zeros(2, "<f4")}, monkeypatch)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.pth (is no file|asks for)"):
            torch_weights.load(path)
    named = 0
    for _ in range(500):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(changed)
        try:
            torch_weights.load(path)
        except ValueError as error:
            named += str(error).startswith(str(path))
    assert named > 100

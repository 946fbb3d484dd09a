"""Unpickling that builds NumPy arrays and builtin containers, nothing else."""

from __future__ import annotations

import io
import pickle
from typing import Any

# What pickles of arrays refer to: numpy.core was renamed numpy._core in NumPy 2.
_ADMITTED = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
}


def loads(data: bytes, origin: str) -> Any:
    """The object pickled in `data`; text of Python 2 becomes bytes.

    Args:
        data: a pickle of any protocol.
        origin: where `data` came from, for the error.
    Raises:
        ValueError: if the pickle refers to anything but NumPy's array types, or is damaged.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except _Refused as error:
        raise ValueError(
            f"{origin} is a pickle that asks for {error}, which a file of arrays does not need: "
            "do not trust it, fetch the original."
        ) from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise ValueError(f"{origin} is cut short or damaged ({error}): fetch the file again.") from error


class _Refused(pickle.UnpicklingError):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise _Refused(f"{module}.{name}")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)

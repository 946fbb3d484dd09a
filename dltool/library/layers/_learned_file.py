"""The file that a pre-trained net's weights are in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MODEL = "model.keras"  # in a run directory
WEIGHTS = ".weights.h5"


def learned_file(source: Any) -> Path:
    """Return the file behind a run directory, a .keras or a .weights.h5 file.

    Paths are relative to the working directory.

    Raises:
        ValueError: the path is none of these.
        FileNotFoundError: the file is missing.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise ValueError(f"'source' must be the path of a run or of a .keras or .weights.h5 file. Got {source!r}.")
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise FileNotFoundError(f"{path} holds no {MODEL}: it is no run, or its training has not ended.")
        return path / MODEL
    if not path.is_file():
        raise FileNotFoundError(f"there is no run and no file at {path}: train the base first, or correct 'source'.")
    if path.suffix != ".keras" and not path.name.endswith(WEIGHTS):
        raise ValueError(f"{path} is neither a run directory nor a .keras or {WEIGHTS} file.")
    return path

"""Where dataset files lie: $DLTOOL_DATA, Keras's download cache, and the download into it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from dltool.errors import messages

TIMEOUT = 30.0  # seconds without a byte before a download counts as failed


def data_folders(*names: str) -> list[Path]:
    """Return $DLTOOL_DATA/<name> for each name; an empty list if DLTOOL_DATA is unset."""
    root = os.environ.get("DLTOOL_DATA")
    return [Path(root).expanduser() / name for name in names] if root else []


def placed(path: str | os.PathLike) -> Path:
    """Return a path unchanged if it exists, otherwise the same relative path below $DLTOOL_DATA if that exists.

    A part in braces, as in train.{language}.gz, stands for any text.
    """
    own = Path(of_system(os.fspath(path))).expanduser()
    if own.is_absolute() or not os.fspath(path) or _exists(own):
        return own
    return next((found for found in data_folders(os.fspath(own)) if _exists(found)), own)


def of_system(path: str) -> str:
    """Return a path of a recipe as the system names it: in the C locale Python reads names as bytes of ASCII."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return os.fsdecode(path.encode("utf-8", "surrogateescape"))
    return path


def _exists(path: Path) -> bool:
    if "{" not in path.name:
        return path.exists()
    return any(path.parent.glob(re.sub(r"\{\w*\}", "*", path.name)))


def keras_cache() -> Path:
    """Keras's folder of downloaded datasets, found as Keras finds it ($KERAS_HOME, else ~/.keras)."""
    own = os.environ.get("KERAS_HOME")
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
    folder = home / ".keras" if own is None else Path(own).expanduser()
    if folder.exists() and not os.access(folder, os.W_OK) and not (folder / "datasets").exists():
        folder = Path(tempfile.gettempdir(), ".keras")  # as keras.utils.get_file
    return folder / "datasets"


def download(owner: str, module: str, looked: list[Path]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return (x_train, y_train), (x_test, y_test) from keras.datasets.<module>.load_data(), which downloads.

    Nothing is written to stdout; one line on stderr announces the download.

    Raises:
        FileNotFoundError: if the download fails; its one line names the places searched and the remedy.
    """
    messages.say(f"{owner}: no local files, downloading into {keras_cache()}")
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module(f"keras.datasets.{module}").load_data()
    except Exception as error:  # Keras raises a bare Exception for a failed fetch
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileNotFoundError(
            f"{owner}: no files in {', '.join(map(str, looked))}, and the download failed ({reason}): "
            f"set DLTOOL_DATA to the folder that holds them, or pass 'path'."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)

"""CIFAR in its published forms: pickled ("python") and raw ("binary") batches.

A row is 3072 bytes: 32 x 32 red, then green, then blue. A pickled batch is a dict of `data` (n, 3072) and
lists of labels; a binary record is the label bytes (CIFAR-100: coarse, fine), then the row.

Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto, 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from dltool.data.formats import members, restricted_pickle

ROW = 3072  # bytes of an image
LABELS = 2**31  # beyond what any class's number is


@dataclass(frozen=True)
class Layout:
    """How one CIFAR set is published.

    Args:
        stem: "cifar-10" or "cifar-100", which archives and folders start with.
        batches: part -> names of its pickled batches; binary ones add ".bin".
        label_keys: label lists of a pickled batch, in the order of the label bytes of a binary record.
    """

    stem: str
    batches: dict[str, list[str]]
    label_keys: tuple[str, ...]


def find(folder: Path, layout: Layout) -> Path | None:
    """Return the folder or archive of batches at, or directly in, `folder`; None if missing."""
    for suffix in ("", ".bin"):
        names = [name + suffix for part in layout.batches.values() for name in part]
        places = [folder, *(folder / f"{layout.stem}{end}" for end in ("-batches-py", "-batches-bin"))]
        places += [folder / f"{layout.stem}{end}" for end in ("-python", "-binary")]
        for place in places:
            if any((place / name).is_file() for name in names):
                return place
    for kind in ("python", "binary"):
        for end in (".tar.gz", ".tgz", ".tar"):
            if (folder / f"{layout.stem}-{kind}{end}").is_file():
                return folder / f"{layout.stem}-{kind}{end}"
    return None


def complete(place: Path, layout: Layout) -> bool:
    """Return whether the folder `place` holds every pickled batch."""
    return all((place / name).is_file() for part in layout.batches.values() for name in part)


def read(place: Path, layout: Layout, part: str, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (n, 32, 32, 3) and labels int64 (n,) of a part, in stored order.

    Raises:
        FileNotFoundError: if a batch is missing.
        ValueError: if a batch is damaged.
    """
    rows, labels = [], []
    found = {PurePosixPath(name).name: reader for name, reader in _batches(place).items()}
    for name in layout.batches[part]:
        origin = f"{place}/{name}"
        if name in found:
            data, ids = _python(found[name](), origin, label_key)
        elif name + ".bin" in found:
            data, ids = _binary(found[name + ".bin"](), origin + ".bin", layout.label_keys, label_key)
        else:
            raise FileNotFoundError(f"{place} holds no {name} (nor {name}.bin): fetch the files again.")
        rows.append(data)
        labels.append(ids)
    x = np.concatenate(rows).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (n, 32, 32, 3)
    return np.ascontiguousarray(x), np.concatenate(labels)


def _batches(place: Path) -> dict[str, Callable[[], bytes]]:
    if place.is_dir():
        return {path.name: path.read_bytes for path in place.iterdir() if path.is_file()}
    return members.files(place)


def _python(data: bytes, origin: str, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    batch = restricted_pickle.loads(data, origin)
    batch = batch if isinstance(batch, dict) else {}
    batch = {key.decode(errors="replace") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    rows, labels = batch.get("data"), batch.get(label_key)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (ROW,):
        raise ValueError(f"{origin} holds no 'data' of bytes (n, {ROW}): fetch the file again.")
    if not isinstance(labels, list) or len(labels) != len(rows):
        raise ValueError(f"{origin} holds no '{label_key}' for each of its {len(rows)} images: fetch the file again.")
    if {*map(type, labels)} - {int} or (labels and not 0 <= min(labels) <= max(labels) < LABELS):
        raise ValueError(f"{origin} holds other '{label_key}' than numbers of classes: fetch the file again.")
    return rows, np.array(labels, np.int64)


def _binary(data: bytes, origin: str, keys: Sequence[str], label_key: str) -> tuple[np.ndarray, np.ndarray]:
    record = len(keys) + ROW
    if not data or len(data) % record:
        raise ValueError(f"{origin} has {len(data)} bytes, no multiple of {record}: fetch the file again.")
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    return records[:, len(keys) :], records[:, keys.index(label_key)].astype(np.int64)

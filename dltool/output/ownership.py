"""Which files dltool wrote: marks in pictures, forms of texts, and the marker of a folder."""

from __future__ import annotations

import csv
import json
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltool import __version__

MARKER = "dltool.json"  # in a run directory and in a folder of alignments
RANGE_TEST = re.compile(r"# .* with the learning rate \S+ of a range test \(")  # how a fragment of --write begins
_COMMENT = b"Comment\0written by dltool"
_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG
_ZIP_MARK = struct.pack("<H", 17) + b"written by dltool"
_SVG_MARK = b"<!-- written by dltool -->\n"
_HEADER_BYTES = 1_000_000  # a line of names is shorter


def marked(content: bytes, suffix: str) -> bytes:
    """Return a picture or an archive of arrays with dltool's mark; everything else stays unchanged."""
    if suffix.lower() == ".png" and content.endswith(_END):
        return content[: -len(_END)] + _PNG_MARK + _END
    if suffix.lower() == ".npz" and content.endswith(b"\0\0"):  # a zip archive without a comment
        return content[:-2] + _ZIP_MARK
    if suffix.lower() == ".svg":
        return content.rstrip(b"\n") + b"\n" + _SVG_MARK
    return content


def is_output(path: Path) -> bool:
    """Return whether a file is a picture, arrays, predictions or a fragment of a recipe that dltool wrote."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            file.seek(0, 2)
            file.seek(max(file.tell() - 200, 0))
            tail = file.read()
    except OSError:
        return False
    if head.startswith(b"\x89PNG"):
        return tail.endswith(_PNG_MARK + _END)
    if tail.endswith(_SVG_MARK) or (head.startswith(b"PK") and tail.endswith(_ZIP_MARK)):
        return True
    line = head.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
    return bool(RANGE_TEST.match(line)) or _is_header_of_predictions(line)


def read_marker(folder: Path, kind: str) -> dict[str, Any] | None:
    """Return what a folder's marker holds, or None if dltool did not write the folder as one of this kind."""
    return own_json(folder / MARKER, kind)


def marker(kind: str, files: Sequence[str], **facts: Any) -> str:
    """Return a marker's text: the kind of folder and the names of the files in it that dltool wrote."""
    held = {"dltool": __version__, "kind": kind, "format": 1, "files": sorted(files), **facts}
    return json.dumps(held, indent=2, ensure_ascii=False) + "\n"


def own_json(path: Path, kind: str) -> dict[str, Any] | None:
    """Return the JSON object in a file that says of itself that dltool wrote it as a `kind`, else None."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(held, dict) or held.get("kind") != kind or not isinstance(held.get("dltool"), str):
        return None
    names = held.get("files")
    return held if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names in one line: "a, b and 7 more"."""
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"


def _is_header_of_predictions(line: str) -> bool:
    names = next(csv.reader([line]), [])
    words = {re.sub(r"_\d+$", "", name) for name in names}
    return names[:1] in (["index"], ["file"], ["row"]) and "prediction" in words


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_PNG_MARK = _chunk(b"tEXt", _COMMENT)

"""The folder into which translate writes the alignment of each line: a picture and a JSON file."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dltool.errors import UsageError
from dltool.output.files import announce, atomic
from dltool.output.ownership import is_output, listed, marked

if TYPE_CHECKING:
    from dltool.decoding.sentence_translator import Translation

ALIGNMENT = re.compile(r"\d{6,}\.(?:json|png)")


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise unless alignments may be written into a folder.

    Raises:
        UsageError: it is a file, has something in it that may not be replaced, or files of the user by such names.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--attention {folder}: is no folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"--attention {folder}: is not empty. Use --overwrite to replace what is there.")
    named = sorted(one for one in folder.iterdir() if ALIGNMENT.fullmatch(one.name)) if folder.is_dir() else []
    if taken := [one.name for one in named if not _is_alignment(one)]:
        raise UsageError(f"--attention {folder}: holds files that dltool did not write: {listed(taken)}. Move them.")
    announce([one.name for one in named], folder)


def write_alignment(folder: Path, number: int, translation: Translation) -> None:
    """Write the attention of a line's translation as a picture and a JSON file, named by the line's number."""
    from dltool.decoding.alignment import plot_alignment

    if translation.attention is None:
        return
    stem = folder / f"{number:06d}"
    weights = [[round(float(weight), 6) for weight in row] for row in translation.attention]
    entry = {"line": number, "source": translation.source, "target": translation.target, "attention": weights}
    with atomic(stem.with_suffix(".json")) as file:
        file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode())
    drawn = io.BytesIO()
    with atomic(stem.with_suffix(".png")) as file:
        plot_alignment(translation.attention, translation.source, translation.target, drawn)
        file.write(marked(drawn.getvalue(), ".png"))


def _is_alignment(path: Path) -> bool:
    """Return whether a file is a line's alignment, or the picture of one, that dltool wrote."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.suffix == ".png" and is_output(path):
        return True
    try:
        held = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    is_entry = isinstance(held, dict) and held.keys() == {"line", "source", "target", "attention"}
    return is_entry and (path.suffix == ".json" or path.read_bytes().startswith(b"\x89PNG"))

"""Messages and live lines on stderr: one place for prefixes, progress and encodings."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from typing import TextIO

from dltool.errors.control_characters import visible, visible_between_styles, visible_lines

PREFIX = "dltool: "
ERASED = "\r\x1b[2K"  # the cursor goes to the beginning of a line that is empty again
LOOKALIKES = {  # of what drawings and sentences hold, where a terminal or file takes ASCII or Latin-1 only
    **dict.fromkeys("┏┓┗┛┡┩┢┪┳┻╇╈╋┼├┤┬┴┌┐└┘╭╮╰╯┠┨┣┫", "+"), **dict.fromkeys("─━╌╍┄┅═╴╶╸╺", "-"),
    **dict.fromkeys("│┃║╎╏", "|"), **dict.fromkeys("•○●◦", "o"), **dict.fromkeys("–—−‐‑", "-"),
    **dict.fromkeys("‘’", "'"), **dict.fromkeys("“”", '"'), "…": "...", "×": "x", "±": "+-", "≤": "<=", "≥": ">=",
    "→": "->", "°": " deg", "µ": "u", "▀": '"', "▄": "_", "░": ".", "▒": ":", "▓": "+", "█": "#", "\u00a0": " ",
    "▁": "_", "▂": ".", "▃": "-", "▅": "=", "▆": "+", "▇": "*", "✓": "+", "✗": "x",
}  # fmt: skip
BRAILLE = range(0x2800, 0x2900)

_live = False  # whether `status` may show anything
_shown = False  # whether a status stands on the terminal


def begin() -> None:
    """Make stdout and stderr write every character, if need be by one that looks like it or by its number."""
    codecs.register_error("dltool", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="dltool")


def is_unicode(stream: TextIO | None) -> bool:
    """Return whether a stream can show every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-").startswith("utf")


def as_shown(text: str, stream: TextIO) -> str:
    """Return text as a stream will show it, so that what is drawn around it fits."""
    if text.isascii() or is_unicode(stream):
        return text
    codecs.register_error("dltool", _replaced)
    return text.encode(stream.encoding, "dltool").decode(stream.encoding, "surrogateescape")


def show_status(shown: bool) -> None:
    """Let `status` write, where stderr is a terminal that can erase a line."""
    global _live
    clear()
    _live = shown and sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def status(text: str) -> None:
    """Say what is being done, in a line that whatever is written next replaces."""
    global _shown
    if _live:
        room = max(shutil.get_terminal_size().columns - 1, 1)
        text = visible(text)
        sys.stderr.write(f"{ERASED}{text if len(text) <= room else text[: room - 1] + '…'}")
        sys.stderr.flush()
        _shown = True


def clear() -> None:
    """Erase the status."""
    global _shown
    if _shown:
        _shown = False
        sys.stderr.write(ERASED)
        sys.stderr.flush()


def say(message: str) -> None:
    """Write a message to stderr, each of its lines with the program's name."""
    tell("".join(f"{PREFIX}{visible(line)}\n" for line in message.split("\n")))


def tell(text: str) -> None:
    """Write drawn text to stderr, without a prefix."""
    clear()
    if sys.stderr is not None:
        sys.stderr.write(visible_between_styles(text))
        sys.stderr.flush()


def write(text: str) -> None:
    """Write results to stdout; a terminal gets no control characters but dltool's own colours."""
    clear()
    sys.stdout.write(visible_between_styles(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def write_text(text: str) -> None:
    """Write what a model says to stdout: faithfully to programs, with visible control characters to a terminal."""
    clear()
    sys.stdout.write(visible_lines(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what takes the place of characters that an encoding lacks: a likeness, a raw byte or the number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file's name that is no text
        return bytes([ord(character) - 0xDC00]), error.start + 1
    if ord(character) in BRAILLE:
        return " " if ord(character) == BRAILLE.start else "*", error.start + 1
    numbered = "".join(f"\\u{unit:04x}" for unit in _units(character))
    return LOOKALIKES.get(character, numbered), error.start + 1


def _units(character: str) -> list[int]:
    """Return a character's units of UTF-16, by which JSON numbers it."""
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2)]

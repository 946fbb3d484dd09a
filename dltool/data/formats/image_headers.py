"""Formats of image files, and their sizes, from their first bytes."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

from dltool.errors.damage import undamaged

# First bytes of the formats that are decoded; WebP has the file's size between the two words.
MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP"}
FORMATS = tuple(MAGIC.values())
_HEAD = 2048  # bytes: enough for the colours and extensions before a GIF's first frame
_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers of a JPEG that no length follows
_SIZED = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that begin a frame, with its size


class Coding(NamedTuple):
    """How an image file is coded.

    Args:
        kind: its format, one of `FORMATS`.
        is_rare: whether TensorFlow does not decode it to the pixels that Pillow gives: palettes and rare depths of BMP,
            transparent and partial frames of GIF, animations of WebP.
    """

    kind: str
    is_rare: bool


def coding(path: str) -> Coding | None:
    """Return the coding of an image file, None if it has none of `FORMATS`."""
    with open(path, "rb", opener=without_waiting) as file:
        head = file.read(12)
        found = _kind(head)
        if found not in ("BMP", "GIF", "WebP"):
            return Coding(found, is_rare=False) if found else None
        head += file.read(_HEAD)
    return Coding(found, is_rare=not _is_common(found, head))


def is_rare(path: str) -> bool:
    """Return whether an image file is coded in a way that TensorFlow does not decode as Pillow does."""
    found = coding(path)
    return found is not None and found.is_rare


def without_waiting(path: str, flags: int) -> int:
    """Open a file; of a pipe that nobody writes into, what is read is empty."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_common(found: str, head: bytes) -> bool:
    try:
        if found == "BMP":
            size, bits, compression = struct.unpack("<I10xHI", head[14:34])
            return bool(size >= 40 and bits == 24 and compression == 0)
        return _is_common_gif(head) if found == "GIF" else head[12:16] != b"VP8X" or not head[20] & 2
    except (struct.error, IndexError):  # cut short: Pillow says what is wrong
        return False


def size(path: str) -> tuple[int, int]:
    """Return (rows, columns) of an image file.

    Raises:
        ValueError: it is damaged, or of none of `FORMATS`.
    """
    with undamaged(path, "replace or remove it.", "is no readable image"), open(path, "rb") as file:
        head = file.read(34)
        found = _kind(head)
        if found == "PNG":
            if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
                raise ValueError("the sum of its header is wrong")
            columns, rows = struct.unpack(">II", head[16:24])
        elif found == "GIF":
            columns, rows = struct.unpack("<HH", head[6:10])
        elif found == "BMP":
            columns, rows = struct.unpack("<HH" if head[14] == 12 else "<ii", head[18 : 22 if head[14] == 12 else 26])
        elif found == "WebP":
            columns, rows = _webp_size(head)
        else:
            columns, rows = _jpeg_size(file)
        if columns <= 0 or rows == 0:
            raise ValueError(f"it is {rows} x {columns} pixels")
    return abs(rows), columns  # the rows of a BMP that begins at the top are negative


def common_size(owner: str, sizes: Iterable[tuple[str, tuple[int, int]]]) -> tuple[int, int]:
    """Return the one size of all images.

    Args:
        owner: the class whose argument `image_size` says what to do with images that differ.
        sizes: path and (rows, columns) of each image, at least one.
    Raises:
        ValueError: they differ.
    """
    each = iter(sizes)
    path, first = next(each)
    for other, size in each:
        if size != first:
            raise ValueError(
                f"{owner}: the images differ in size: {path} is {first[0]} x {first[1]} (rows x columns), {other} is "
                f"{size[0]} x {size[1]}. Give 'image_size', such as image_size: {list(first)}."
            )
    return first


def _kind(head: bytes) -> str | None:
    found = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    return None if found == "WebP" and head[8:12] != b"WEBP" else found


def _is_common_gif(head: bytes) -> bool:
    """Return whether the first frame fills the whole picture and has no transparent colour."""
    packed = head[10]
    at = 13 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
    while head[at] == 0x21:  # an extension, in blocks that begin with their length
        if head[at + 1] == 0xF9 and head[at + 3] & 1:
            return False
        at += 2
        while head[at]:
            at += head[at] + 1
        at += 1
    local = head[at + 9] & 0x80
    return head[at] == 0x2C and head[at + 1 : at + 9] == b"\0\0\0\0" + head[6:10] and bool(packed & 0x80 or local)


def _webp_size(head: bytes) -> tuple[int, int]:
    """Return (columns, rows) of a WebP file."""
    coding = head[12:16]
    if coding == b"VP8X":  # 24 bits each, less 1
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if coding == b"VP8L":  # 14 bits each, less 1
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    columns, rows = struct.unpack("<HH", head[26:30])
    return columns & 0x3FFF, rows & 0x3FFF  # the other two bits scale what is shown


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Return (columns, rows) of a JPEG file, from the header of its first frame."""
    file.seek(2)
    while True:
        marker = file.read(1)
        while marker != b"\xff":  # stray bytes between segments
            if not marker:
                raise EOFError("it ends before its size")
            marker = file.read(1)
        while marker == b"\xff":  # fill bytes
            marker = file.read(1)
        if marker[0] in _STANDALONE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[0] in _SIZED:
            rows, columns = struct.unpack(">xHH", file.read(5))
            return columns, rows
        file.seek(length - 2, 1)

"""Lines as they come: bytes of every kind, slow and endless streams."""

from __future__ import annotations

import gzip
import io
import os
import random
import threading
from typing import Any

import pytest

from dltool.decoding.line_stream import LONGEST, windows
from dltool.errors import DataError


def read(data: bytes, size: int = 100) -> list[tuple[int, str, bool]]:
    return [line[:3] for window in windows(io.BytesIO(data), "in", size) for line in window]


def test_lines_that_are_no_utf8_are_left_out_by_number() -> None:
    left_out: list[str] = []
    stream = io.BytesIO(b"a\n\xff\nb\n\xfe")
    found = [line.number for window in windows(stream, "in", 100, left_out.append) for line in window]
    assert found == [1, 3]
    assert [line.split(" is no UTF-8")[0] for line in left_out] == ["in:2:", "in:4:"]


def test_only_line_feeds_end_a_line() -> None:
    text = "a\tb\r\n\n \u2028c\x0bd\x85e\r🦓\nlast"
    assert [line[1] for line in read(text.encode())] == ["a\tb", "", " \u2028c\x0bd\x85e\r🦓", "last"]
    assert [line[0] for line in read(text.encode())] == [1, 2, 3, 4]
    assert [line[1] for line in read(b"a\rb\r\r\nc\r")] == ["a\rb\r", "c\r"], "a lone CR is a character, at the end too"
    assert read(b"") == []
    assert read(b"\n") == [(1, "", False)]
    assert read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n") == [(1, "a", False), (2, "\ufeffb", False)]


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    found = read(b"x" * (3 * LONGEST) + b"\nnext\n")
    assert found == [(1, "x" * LONGEST, True), (2, "next", False)]
    for length in (LONGEST - 1, LONGEST):
        for end in (b"\n", b"\r\n", b""):
            assert read(b"x" * length + end) == [(1, "x" * length, False)]
    for end in (b"x\n", b"\r\r\n", b"x\r\n", b"x"):
        assert read(b"x" * LONGEST + end + (b"next" if end.endswith(b"\n") else b""))[0] == (1, "x" * LONGEST, True)
    cut = read("é".encode() * LONGEST)  # two bytes each: after one more byte the cut falls within a character
    assert cut == [(1, "é" * (LONGEST // 2), True)]
    assert read(b"x" + "é".encode() * LONGEST) == [(1, "x" + "é" * (LONGEST // 2 - 1), True)]


def test_what_is_no_utf8_is_told_after_the_lines_before_it() -> None:
    found = []
    with pytest.raises(DataError, match=r"^in:3: is no UTF-8 \(byte 0xFF\)"):
        for window in windows(io.BytesIO(b"one\ntwo\nbad \xff\nfour\n"), "in", 10):
            found += [line.text for line in window]
    assert found == ["one", "two"]


def test_a_group_is_what_has_come_up_to_its_size() -> None:
    groups = [len(window) for window in windows(io.BytesIO(b"x\n" * 25), "in", 10)]
    assert sum(groups) == 25 and max(groups) <= 10


def test_a_slow_stream_is_answered_line_by_line() -> None:
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as stream, os.fdopen(ends[1], "wb", buffering=0) as writer:
        groups = windows(stream, "in", 10)
        for text in (b"one\n", b"two\n"):
            writer.write(text)  # nothing follows until it is answered
            assert [line.text for line in next(groups)] == [text.decode().strip()]
        writer.close()
        assert list(groups) == []


class Endless(io.RawIOBase):
    """`yes`, which counts what is read."""

    def __init__(self) -> None:
        self.lines = 0

    def readline(self, size: Any = -1) -> bytes:
        self.lines += 1
        return b"y\n"


def test_an_endless_stream_is_read_ahead_by_a_group_only() -> None:
    stream = Endless()
    groups = windows(stream, "in", 10)  # type: ignore[arg-type]
    taken = sum(len(next(groups)) for _ in range(5))
    assert stream.lines <= taken + 10 + 2  # the queue, the line to be put in, the one taken
    groups.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(timeout=5)
    assert stream.lines < taken + 30


@pytest.mark.parametrize("kept", ["half", "flipped"])
def test_a_damaged_gzip_file_ends_the_lines_with_its_name(kept: str) -> None:
    data = bytearray(gzip.compress(random.Random(0).randbytes(4000).hex().encode() + b"\n" * 9, mtime=0))
    if kept == "half":
        del data[len(data) // 2 :]
    else:
        data[60:70] = b"\xff" * 10  # zlib.error, which is no OSError nor ValueError
    with pytest.raises(DataError, match=r"^in\.gz:1: cannot be read \(") as caught:
        list(windows(gzip.GzipFile(fileobj=io.BytesIO(data)), "in.gz", 10))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("a fault"), MemoryError(), KeyError("x"), SystemExit()])
def test_whatever_ends_the_thread_ends_the_lines(error: BaseException) -> None:
    class Dying(io.RawIOBase):
        lines = [b"one\n"]

        def readline(self, size: Any = -1) -> bytes:
            if not self.lines:
                raise error
            return self.lines.pop()

    found: list[str] = []
    with pytest.raises(SystemExit if isinstance(error, SystemExit) else DataError):
        for window in windows(Dying(), "in", 10):  # type: ignore[arg-type]
            found += [line.text for line in window]
    assert found == ["one"]

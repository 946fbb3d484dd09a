"""Lines of text as they come, several at a time where several are there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from dltool.errors import DataError
from dltool.errors.damage import undamaged

LONGEST = 1 << 16  # bytes of a line that are kept: what follows is read and dropped


class Line(NamedTuple):
    """A line.

    Args:
        number: from 1.
        text: without its end ("\\n" or "\\r\\n").
        cut: whether it was longer than what is kept.
        fault: why it cannot be read, None where it can.
    """

    number: int
    text: str
    cut: bool
    fault: str | None = None


def windows(
    stream: BinaryIO, name: str, size: int, leave_out: Callable[[str], None] | None = None
) -> Iterator[list[Line]]:
    """Groups of consecutive lines, each of what has come since the last one, 1 to `size` lines.

    So a slow stream is answered line by line and a fast one in large groups. Memory is bounded: a thread reads ahead
    by `size` lines at most.

    Args:
        stream: UTF-8; a last line needs no end, and a byte-order mark at the beginning is left out.
        name: for messages.
        leave_out: takes why a line is no UTF-8, which is then left out; None: it is an error.
    Raises:
        DataError: a line is no UTF-8, or the stream cannot be read; the lines before it are given first.
    """
    lines: queue.Queue[Line | BaseException | None] = queue.Queue(size)
    number = 0
    stop = threading.Event()
    threading.Thread(target=_read, args=(stream, name, lines, stop, leave_out is not None), daemon=True).start()
    try:
        over = False
        while not over:
            window: list[Line] = []
            failure: BaseException | None = None
            one = lines.get()
            while True:
                if not isinstance(one, Line):
                    over, failure = True, one
                    break
                number = one.number
                if one.fault is None:
                    window.append(one)
                elif leave_out is not None:
                    leave_out(one.fault)
                if len(window) == size:
                    break
                try:
                    one = lines.get_nowait()
                except queue.Empty:
                    break
            if window:
                yield window
            if failure is not None:
                with undamaged(f"{name}:{number + 1}:", "replace it.", "cannot be read"):
                    raise failure
    finally:
        stop.set()


def _read(stream: BinaryIO, name: str, lines: queue.Queue, stop: threading.Event, goes_on: bool) -> None:
    """Put each line, at last None or what kept the next one from being read, whatever that was.

    Args:
        goes_on: whether lines that are no UTF-8 are put too, with their fault.
    """
    number = 0
    failure: BaseException | None = None
    try:
        while data := stream.readline(LONGEST + 2):  # and its end, at most "\r\n"
            number += 1
            line = data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")
            cut = len(line) > LONGEST
            rest = data
            while cut and rest and not rest.endswith(b"\n"):
                rest = stream.readline(LONGEST)
            try:
                one = Line(number, _text(line[:LONGEST], cut, name, number), cut)
            except DataError as error:
                if not goes_on:
                    raise
                one = Line(number, "", cut, str(error))
            if not _put(lines, one, stop):
                return
    except BaseException as error:  # the command waits for this thread: nothing may end it unheard
        failure = error
    _put(lines, failure, stop)


def _put(lines: queue.Queue, one: Line | BaseException | None, stop: threading.Event) -> bool:
    """Put an item into a queue; return whether a reader was still there."""
    while not stop.is_set():
        try:
            lines.put(one, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


def _text(data: bytes, cut: bool, name: str, number: int) -> str:
    if number == 1:
        data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if cut and error.end >= len(data) - 3:  # within a character
            return data[: error.start].decode()
        byte = data[error.start]
        raise DataError(f"{name}:{number}: is no UTF-8 (byte 0x{byte:02X}). Convert it to UTF-8.") from error

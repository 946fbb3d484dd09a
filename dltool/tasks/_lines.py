"""Lines of text files, or of a stream, as new examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from dltool.data.inputs.base import STDIN, Batch
from dltool.decoding import line_stream
from dltool.errors import messages

LINES = 128  # at a time at most; of a slow stream what has come


class LineReader:
    """Lines without their ends, numbered from 1.

    Args:
        paths: text files, UTF-8; "-" is `stdin`.
        stdin: UTF-8.
    """

    word = "line"

    def __init__(self, paths: Sequence[str], stdin: BinaryIO | None) -> None:
        self.paths, self.stdin = paths, stdin

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        for path in self.paths:
            is_stdin = path == STDIN and self.stdin is not None
            shown = "standard input" if is_stdin else path
            with ExitStack() as stack:
                try:
                    stream = self.stdin if is_stdin else stack.enter_context(Path(path).open("rb"))
                except OSError as error:
                    leave_out(f"{path}: {error.strerror}.")
                    continue
                assert stream is not None
                for window in line_stream.windows(stream, shown, min(size, LINES), leave_out):
                    for line in window:
                        if line.cut:
                            messages.say(f"{shown}:{line.number}: is too long and was cut.")
                    places = [line.number if len(self.paths) == 1 else f"{path}:{line.number}" for line in window]
                    yield Batch(places, [line.text for line in window])

"""SIGTERM and Ctrl-C during training: the first asks it to stop and save, the second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dltool.errors import InterruptedRun

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Which signal, if any, has asked training to stop."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.signal: int | None = None
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Obey the signals, except one that the process was told to ignore, as a shell tells its background jobs."""
        obeyed = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._received) for number in obeyed}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise InterruptedRun("stopped at once; the last saved state is kept", number)
        self.signal = number
        self._say(f"{signal.Signals(number).name}: saving the state and stopping; once more stops at once")

"""What can go wrong, each kind with its exit status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dltool.control_characters import visible


class DltoolError(Exception):
    """A failure that the user is told about in one line; the process ends with `status`.

    Args:
        lines: the message, usually one line; what a file holds can't add lines or send control characters.
    """

    status = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)

    def __str__(self) -> str:
        return "\n".join(visible(str(line)) for line in self.args)


class UsageError(DltoolError):
    """Bad usage: an option, argument or output path that cannot work."""

    status = 2


class RequirementError(DltoolError):
    """A figure asked for by --require was not reached."""

    status = 3


class DivergedError(DltoolError):
    """Training diverged: the loss became NaN or infinite."""

    status = 4


class DataError(DltoolError):
    """Data, a run directory or a model file is missing or unreadable."""

    status = 5


class InterruptedRun(DltoolError):
    """A signal ended training; the state is saved. The status is 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.status = 128 + signal_number


class Terminated(BaseException):
    """SIGTERM outside of training; as KeyboardInterrupt, nothing that catches an `Exception` swallows it."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a value stands: file, line and column, both counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: where, at which path in it, what and what to do."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


class RecipeError(UsageError):
    """Everything that is wrong with a recipe, a line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems = sorted(unique, key=lambda problem: problem.place)
        super().__init__(*map(str, self.problems))


def first_line(error: BaseException) -> str:
    """What an exception says in its first line, without the full stop; its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

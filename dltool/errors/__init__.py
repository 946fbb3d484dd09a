"""Kinds of errors, each with its exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dltool.errors.control_characters import visible
from dltool.errors.wording import first_line, one_line, suggest, suggest_or_list

__all__ = [
    "DataError", "DivergedError", "DltoolError", "InterruptedRun", "Mistakes", "Place", "Problem", "RecipeError",
    "RequirementError", "Terminated", "UsageError", "first_line", "one_line", "suggest",
    "suggest_or_list",
]  # fmt: skip


class DltoolError(Exception):
    """A failure that the user reads in one line; the process ends with `status`.

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
    """A figure that missed its --require."""

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


MOST_PROBLEMS = 20  # that are shown of a recipe


class RecipeError(UsageError):
    """Everything that is wrong with a recipe, a line each, the first `MOST_PROBLEMS` and a count of the others."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems = sorted(unique, key=lambda problem: problem.place)
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        left = len(self.problems) - len(lines)
        super().__init__(*lines, *([f"and {left:,} more problem{'s' * (left > 1)}"] if left else []))


class Mistakes:
    """Mistakes of usage, collected and reported together: each `with` block may make one.

    mistakes = Mistakes()
    with mistakes:
        check_one_thing()
    with mistakes:
        check_another()
    mistakes.finish()
    """

    def __init__(self) -> None:
        self.errors: list[UsageError] = []

    def __enter__(self) -> Mistakes:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, UsageError):
            self.errors.append(error)
            return True
        if error is not None and isinstance(error, DltoolError) and self.errors:
            self.finish()  # data that cannot be read come after bad usage
        return False

    def finish(self, further: Callable[[], object] | None = None) -> None:
        """Raise the collected mistakes, if any.

        Args:
            further: may raise one more mistake; called only after another mistake, which would otherwise hide it.
        Raises:
            UsageError: the only mistake itself, or all of them, one per line.
        """
        if self.errors and further is not None:
            try:
                further()
            except UsageError as error:
                self.errors.append(error)
            except DltoolError:  # data that cannot be read come after bad usage
                pass
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise UsageError(
                *dict.fromkeys(line for error in self.errors for line in str(error).split("\n"))
            ) from self.errors[0]

"""The base of readers of new examples: batches in the order of the inputs, and one line per skipped input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

STDIN = "-"  # in place of a file's name
ROWS, ARRAYS, PICTURES = "rows of a table", "arrays", "pictures"  # kinds of new examples


@dataclass(frozen=True)
class Batch:
    """Some new examples.

    Args:
        places: file or row of each example, (examples,).
        x: what the model takes: an array (examples, ...), or a mapping of a table's columns to such arrays.
        files: the files that hold one example each, (examples,), None where a file holds several.
    """

    places: Sequence[Any]
    x: Any
    files: Sequence[Path] | None = None

    def __len__(self) -> int:
        return len(self.places)


class Reader(Protocol):
    """Reads new examples.

    Attributes:
        word: what `Batch.places` are: "file" or "row".
    """

    word: str

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        """Yield the examples in the order of the inputs, `size` at a time at most.

        Args:
            leave_out: takes a line on each input that cannot be read, which is left out.
        """
        ...

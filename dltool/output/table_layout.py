"""A table for people, laid out so that it fits a terminal: as a grid, turned, in parts or as a list.

No header, number or name is broken inside a cell; sentences fold between words. Nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FRAME = 3  # characters that a column takes beside its text: a line and a blank on each side
LEAST_FOLD = 16  # characters that a folded text keeps
LONG = 24  # characters from which a text with blanks may fold
MOST_LEADING = 3  # columns that each part of a table begins with
MOST_TURNED = 8  # rows of a table that becomes columns


@dataclass(frozen=True)
class Column:
    """A column of a table, ready to be drawn.

    Args:
        name: its header.
        cells: a text for each row.
        is_number: it stands on the right.
    """

    name: str
    cells: tuple[str, ...]
    is_number: bool

    @property
    def width(self) -> int:
        """Characters that the header and every cell need on one line."""
        return max(map(length, (self.name, *self.cells)))

    @property
    def is_sentence(self) -> bool:
        """Return whether cells may fold: a longer text of several words."""
        return not self.is_number and any(
            len(cell) > LONG and " " in cell and re.search(r"[^\W\d_]{2}", cell) for cell in self.cells
        )

    @property
    def narrowest(self) -> int:
        """Characters that it needs when its sentences fold: no shorter than the header and the longest word."""
        if not self.is_sentence:
            return self.width
        longest = max((length(word) for cell in self.cells for word in cell.split()), default=0)
        return min(self.width, max(length(self.name), LEAST_FOLD, min(longest, 2 * LONG)))


def length(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def draw(title: str, columns: Sequence[Column], width: int | None, colors: bool) -> str:
    """Return a table as text.

    Args:
        title: drawn above it.
        width: characters of a line, None for as many as are needed.
        colors: draw with colours and bold headers.
    """
    if width is None or _needed(columns) <= width:
        return _titled(title, width, colors) + _grid(columns, None, colors)
    rows = len(columns[0].cells)
    if rows > 1:
        title, columns = _without_constants(title, columns)
    if _needed(columns, folded=True) <= width:
        return _titled(title, width, colors) + _grid(columns, width, colors)
    turned = _turned(columns)
    if rows <= MOST_TURNED and _needed(turned) <= width:
        return _titled(title, width, colors) + _grid(turned, None, colors)
    if rows > 1 and (parts := _parts(columns, width)):
        return _titled(title, width, colors) + "\n".join(_grid(part, width, colors) for part in parts)
    return _titled(title, width, colors) + _list(columns, width)


def _needed(columns: Sequence[Column], folded: bool = False) -> int:
    return sum((column.narrowest if folded else column.width) + FRAME for column in columns) + 1


def _titled(title: str, width: int | None, colors: bool) -> str:
    lines = [title] if width is None else _folded(title, width)
    return "".join(f"\x1b[1m{line}\x1b[0m\n" if colors else f"{line}\n" for line in lines)


def _without_constants(title: str, columns: Sequence[Column]) -> tuple[str, list[Column]]:
    """Return the columns whose texts differ between rows; move the other texts into the title."""
    same = [column for column in columns if not column.is_number and len(set(column.cells)) == 1 and column.cells[0]]
    kept = [column for column in columns if column not in same]
    if not same or not kept:
        return title, list(columns)
    return f"{title} ({', '.join(f'{column.name}: {column.cells[0]}' for column in same)})", kept


def _turned(columns: Sequence[Column]) -> list[Column]:
    """Return one row for each column except the first, whose cells become headers."""
    first, *others = columns
    labels = Column(first.name, tuple(column.name for column in others), False)
    if len(first.cells) == 1:
        labels = Column("figure", (first.name, *labels.cells), False)
        others = list(columns)
    headers = first.cells if len(first.cells) > 1 else ("value",)
    return [
        labels,
        *(
            Column(header, tuple(column.cells[row] for column in others), not _is_text(others, row))
            for row, header in enumerate(headers)
        ),
    ]


def _is_text(columns: Sequence[Column], row: int) -> bool:
    return all(not column.is_number for column in columns if column.cells[row])


def _parts(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Return the columns in several tables, each with those on the left that identify a row.

    Return an empty list if these fill it.
    """
    count = next((n for n in range(1, MOST_LEADING + 1) if _tell_apart(columns[:n])), MOST_LEADING)
    leading, others = list(columns[:count]), columns[count:]
    if any(_needed([*leading, column], folded=True) > width for column in others):
        return []
    parts: list[list[Column]] = [[*leading]]
    for column in others:
        if len(parts[-1]) > len(leading) and _needed([*parts[-1], column], folded=True) > width:
            parts.append([*leading])
        parts[-1].append(column)
    return parts


def _tell_apart(columns: Sequence[Column]) -> bool:
    """Return whether no two rows of these columns are alike."""
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return len(set(rows)) == len(rows)


def _grid(columns: Sequence[Column], width: int | None, colors: bool) -> str:
    """Draw columns side by side in a frame; the sentences fold where they must."""
    widths = [column.width for column in columns]
    if width is not None and _needed(columns) > width:
        sentences = [column for column in columns if column.is_sentence]
        room = width - _needed([column for column in columns if not column.is_sentence])
        widths = [_share(column, sentences, room) if column.is_sentence else column.width for column in columns]
    bars = ["━" * (size + 2) for size in widths]
    lines = [f"┏{'┳'.join(bars)}┓"]
    bold = ("\x1b[1m", "\x1b[0m") if colors else ("", "")
    names = [
        f"{bold[0]}{_padded(column.name, size, column.is_number)}{bold[1]}"
        for column, size in zip(columns, widths, strict=True)
    ]
    lines += [f"┃ {' ┃ '.join(names)} ┃", f"┡{'╇'.join(bars)}┩"]
    for row in zip(*(column.cells for column in columns), strict=True):
        folded = [_folded(cell, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            texts = [
                _padded(cell[number] if number < len(cell) else "", size, column.is_number)
                for cell, size, column in zip(folded, widths, columns, strict=True)
            ]
            lines.append(f"│ {' │ '.join(texts)} │")
    lines.append(f"└{'┴'.join(bar.replace('━', '─') for bar in bars)}┘")
    return "\n".join(lines) + "\n"


def _padded(text: str, size: int, on_the_right: bool) -> str:
    blanks = " " * (size - length(text))
    return f"{blanks}{text}" if on_the_right else f"{text}{blanks}"


def _folded(text: str, size: int) -> list[str]:
    """Return a text in lines of at most `size` columns, broken between words where that is possible."""
    if length(text) <= size:
        return [text]
    lines = [""]
    for word in text.split(" "):
        while length(word) > size:  # a word that no line holds
            taken = next(n for n in range(len(word), 0, -1) if length(word[:n]) <= max(size, 2))
            taken = max((word.rfind(mark, size // 2, taken) + 1 for mark in "/|,:;_-"), default=0) or taken
            lines += [word[:taken]] if lines[-1] else []
            lines[-1] = lines[-1] or word[:taken]
            word = word[taken:]
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if length(joined) <= size:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _share(column: Column, sentences: Sequence[Column], room: int) -> int:
    """Return the characters for a sentence: its minimum, and a share of the rest by its length."""
    spare = room - sum(one.narrowest + FRAME for one in sentences)
    wanted = sum(one.width - one.narrowest for one in sentences) or 1
    return min(column.width, column.narrowest + spare * (column.width - column.narrowest) // wanted)


def _list(columns: Sequence[Column], width: int) -> str:
    """Return one line for each cell, a blank line between rows."""
    names = max(length(column.name) for column in columns)
    blocks = []
    for row in zip(*(column.cells for column in columns), strict=True):
        lines = []
        for column, cell in zip(columns, row, strict=True):
            label = f"  {column.name}{' ' * (names - length(column.name))}  "
            room = max(width - length(label), 1)
            if max((length(word) for word in cell.split()), default=0) > room:  # the value goes below its name
                lines.append(label.rstrip())
                lines += [f"    {line}" for line in _folded(cell, max(width - 4, 1))]
                continue
            first, *rest = _folded(cell, room)
            lines.append(f"{label}{first}".rstrip())
            lines += [f"{' ' * length(label)}{line}" for line in rest]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def matrix(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]], width: int | None) -> str:
    """Return a confusion matrix: a row for each true class, a column for each predicted one.

    Where names are too long for the columns they are numbered; where numbers are too many, they come in parts.
    """
    headers, labels = list(classes), list(classes)
    cells = [[str(count) for count in row] for row in counts]
    longest = max((len(cell) for row in cells for cell in row), default=1)
    if width is not None and _matrix_width(labels, headers, longest) > width:
        headers = [str(number) for number in range(len(classes))]
        labels = [name if name == number else f"{number} {name}" for number, name in zip(headers, classes, strict=True)]
    if width is not None and max(map(length, labels), default=0) > width // 3:
        labels = headers
        legend = [f"  {number} {name}" for number, name in zip(headers, classes, strict=True)]
    else:
        legend = []
    left = max(length("true"), *map(length, labels)) if labels else 4
    size = [max(longest, length(header)) + 1 for header in headers]
    lines, start = [*_folded(f"{title} (rows: true, columns: predicted)", width or 10_000), *legend], 0
    while start < len(headers):
        stop = start + 1
        while stop < len(headers) and (width is None or left + sum(size[start : stop + 1]) + 1 <= width):
            stop += 1
        lines += ["", f"{' ' * left}  predicted"] if start else [f"{' ' * left}  predicted"]
        lines.append(_matrix_row("true", left, headers[start:stop], size[start:stop]))
        lines += [
            _matrix_row(label, left, row[start:stop], size[start:stop])
            for label, row in zip(labels, cells, strict=True)
        ]
        start = stop
    return "\n".join(lines) + "\n"


def _matrix_width(labels: Sequence[str], headers: Sequence[str], longest: int) -> int:
    return max(map(length, ("true", *labels))) + 1 + sum(max(longest, length(header)) + 1 for header in headers)


def _matrix_row(label: str, left: int, cells: Sequence[str], sizes: Sequence[int]) -> str:
    padded = "".join(" " * (size - length(cell)) + cell for cell, size in zip(cells, sizes, strict=True))
    return f"{label}{' ' * (left - length(label))} {padded}"

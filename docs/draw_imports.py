"""Draw docs/imports.svg: the rooms of dltool in the order of their ranks, and the imports between them.

Run it from anywhere: python docs/draw_imports.py. It reads syntax trees and imports nothing of dltool.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dltool"
PICTURE = ROOT / "docs" / "imports.svg"
RANKS_FILE = ROOT / "tests" / "test_architecture.py"
WIDTH, ROW, BOX_WIDTH, BOX_HEIGHT, GAP, LANE = 760, 96, 150, 46, 40, 14  # pixels


def read_ranks(text: str) -> list[list[str]]:
    """Return the rooms of each rank, highest first, as the architecture test states them."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RANKS":
            return [rank.split() for rank in ast.literal_eval(node.value).split(" > ")]
    raise LookupError(f"{RANKS_FILE}: no assignment to RANKS. Put the ranked line back.")


def read_imports(text: str) -> Iterator[str]:
    """Yield the rooms that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("dltool."))


def collect_arrows(package: Path, rooms: list[str]) -> set[tuple[str, str]]:
    """Return (importing room, imported room) for all imports between two rooms."""
    arrows = set()
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room in rooms:
            arrows |= {(room, other) for other in read_imports(path.read_text(encoding="utf-8")) if other in rooms}
    return {(room, other) for room, other in arrows if room != other}


def drop_implied(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that no chain of other arrows implies."""
    below: dict[str, set[str]] = {}
    for room, other in arrows:
        below.setdefault(room, set()).add(other)

    def reaches(start: str, end: str) -> bool:
        return end in below.get(start, ()) or any(reaches(room, end) for room in below.get(start, ()))

    return {(a, b) for a, b in arrows if not any(middle != b and reaches(middle, b) for middle in below[a])}


def place_boxes(ranks: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Return the centre of each room's box, one row a rank."""
    centres = {}
    for row, rooms in enumerate(ranks):
        left = WIDTH / 2 - (len(rooms) - 1) * (BOX_WIDTH + GAP) / 2
        for column, room in enumerate(rooms):
            centres[room] = (left + column * (BOX_WIDTH + GAP), 40 + row * ROW)
    return centres


def find_lane(
    wanted: float, row: float, centres: dict[str, tuple[float, float]], used: set[tuple[float, float]]
) -> float:
    """Return the free x nearest to the wanted one at which an arrow passes a row without touching a box."""
    boxes = [x for x, y in centres.values() if y == row]
    lanes = [
        x
        for x in range(LANE, WIDTH, LANE)
        if (x, row) not in used and all(abs(x - box) > BOX_WIDTH / 2 + LANE / 2 for box in boxes)
    ]
    lane = min(lanes, key=lambda x: abs(x - wanted))
    used.add((lane, row))
    return lane


def route(
    start: tuple[float, float],
    end: tuple[float, float],
    centres: dict[str, tuple[float, float]],
    used: set[tuple[float, float]],
) -> str:
    """Return a path from the lower edge of one box to the upper edge of another, between the boxes of all rows."""
    (x, y), (end_x, end_y) = start, end
    path = f"M{x:g} {y + BOX_HEIGHT / 2:g}"
    rows = sorted({row for _, row in centres.values() if y < row < end_y})
    for row in [*rows, end_y]:
        there = end_x if row == end_y else find_lane(x + (end_x - x) * ROW / (end_y - y), row, centres, used)
        above, below = y + BOX_HEIGHT / 2, row - BOX_HEIGHT / 2 - (7 if row == end_y else 0)
        middle = (above + below) / 2
        path += f" C{x:g} {middle:g} {there:g} {middle:g} {there:g} {below:g}"
        if row != end_y:
            path += f" V{row + BOX_HEIGHT / 2:g}"
        x, y = there, row
    return f'<path d="{path}"/>'


def spread_ports(
    arrows: list[tuple[str, str]], centres: dict[str, tuple[float, float]]
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the x at which each arrow leaves and reaches its boxes, in the order of the other ends."""
    ports: dict[tuple[str, str], list[float]] = {arrow: [0.0, 0.0] for arrow in arrows}
    for room in centres:
        for end in (0, 1):
            joined = sorted((a for a in arrows if a[end] == room), key=lambda a: (centres[a[1 - end]], a))
            for number, arrow in enumerate(joined):
                ports[arrow][end] = centres[room][0] + (number - (len(joined) - 1) / 2) * LANE
    return {arrow: (first, last) for arrow, (first, last) in ports.items()}


def draw(package: Path, ranks: list[list[str]]) -> str:
    """Return the picture as SVG text."""
    rooms = [room for rank in ranks for room in rank if (package / room).is_dir() or (package / f"{room}.py").is_file()]
    centres = {room: centre for room, centre in place_boxes(ranks).items() if room in rooms}
    arrows = sorted(
        drop_implied(collect_arrows(package, rooms)), key=lambda a: (centres[a[1]][1] - centres[a[0]][1], a)
    )
    ports = spread_ports(arrows, centres)
    used: set[tuple[float, float]] = set()
    height = 80 + ROW * (len(ranks) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        "<title>The rooms of dltool: an arrow points from a room to a room that it imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#51606e"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<g fill="none" stroke="#51606e" stroke-width="1.4" marker-end="url(#tip)">',
        *(
            route((ports[room, other][0], centres[room][1]), (ports[room, other][1], centres[other][1]), centres, used)
            for room, other in arrows
        ),
        "</g>",
    ]
    for room, (x, y) in centres.items():
        files = len(list((package / room).rglob("*.py"))) or 1
        left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
        parts += [
            f'<rect x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#e8f0f6"'
            ' stroke="#2f5d7c"/>',
            f'<text x="{x:g}" y="{y - 3:g}" text-anchor="middle" font-size="15" fill="#14222c">{escape(room)}</text>',
            f'<text x="{x:g}" y="{y + 14:g}" text-anchor="middle" font-size="11" fill="#51606e">'
            f"{files} file{'s' if files > 1 else ''}</text>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the picture, or fail without changing it."""
    picture = draw(PACKAGE, read_ranks(RANKS_FILE.read_text(encoding="utf-8")))
    PICTURE.write_text(picture, encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()

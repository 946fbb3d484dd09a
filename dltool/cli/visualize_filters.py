"""dltool visualize-filters: what a run's filters look like and answer to, as pictures with tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool import filters
from dltool.errors import UsageError
from dltool.filters import narrow
from dltool.filters.options import Options, Rows
from dltool.filters.source import Source
from dltool.output import picture_folder, tables
from dltool.runs import directory as runs
from dltool.runs.directory import RunDirectory
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    import pandas as pd

    from dltool.output.picture import Picture

INDEX = "index.html"
PICTURES_IN_TERMINAL = 64  # of each sheet
TAKES = re.compile(r"^TAKES = ", re.MULTILINE)  # in the file of a mode


def run(
    path: Path,
    mode: str,
    options: Options,
    *,
    out: Path | None,
    overwrite: bool,
    terminal: bool,
    batch_size: int | None,
    form: str,
    device: str,
    write: Callable[[str], None],
) -> None:
    """Write the pictures, then the table of what they show."""
    if terminal and form != "table":
        raise UsageError("--terminal goes with --format table")
    options.check_taken(mode, _taken())
    directory = RunDirectory(path)
    directory.check_is_run()
    out = out or directory / runs.FILTERS / mode
    picture_folder.check_free(out, overwrite)
    source = Source(path, device, options.seed, batch_size)
    pictures, rows = _module(mode).show(source, options, TrainingProgress().say)
    report = {title: _frame(table) for title, table in rows.items()}
    _save(out, source, mode, options, pictures, report)
    if form == "table":
        rows = narrow.apart(rows, getattr(_module(mode), "APART", {}))
        report = {title: _frame(table) for title, table in rows.items()}
    write(tables.render(report, form))
    if terminal:
        for picture in pictures:
            write(f"{picture.title}\n{_small(picture)}")
    if form == "table":
        write(f"{out / INDEX}\n")


def _frame(rows: Rows) -> pd.DataFrame:
    """Numbers of units stay whole where some rows have none."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    for name in frame:
        given = [row[name] for row in rows if row.get(name) is not None]
        if given and len(given) < len(rows) and all(type(value) is int for value in given):
            frame[name] = frame[name].astype("Int64")
    return frame


def _taken() -> dict[str, Sequence[str]]:
    """The options that each mode takes; a mode is a file of `dltool.filters` that says so."""
    files = sorted(Path(filters.__path__[0]).glob("[!_]*.py"))
    modes = [path.stem for path in files if TAKES.search(path.read_text(encoding="utf-8"))]
    return {mode: _module(mode).TAKES for mode in modes}


def _module(mode: str) -> Any:
    return import_module(f"dltool.filters.{mode}")


def _save(
    out: Path,
    source: Source,
    mode: str,
    options: Options,
    pictures: Sequence[Picture],
    report: Mapping[str, pd.DataFrame],
) -> None:
    from dltool.output.gallery import page
    from dltool.output.picture_files import gif, png

    files: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    for picture in pictures:
        files[f"{picture.name}.png"] = png(picture.pixels)
        listed.append({"file": f"{picture.name}.png", "title": picture.title})
        if picture.frames:
            files[f"{picture.name}.gif"] = gif(picture.frames)
            listed.append({"file": f"{picture.name}.gif", "title": f"{picture.title}, step by step"})
    title = f"{source.directory.path.absolute().name}: {mode}"
    shown = [(one["file"], one["title"]) for one in listed]
    files[INDEX] = page(title, shown, report).encode()
    chosen = json.loads(json.dumps(options.given(), default=str))
    manifest = {"run": str(source), "mode": mode, "options": chosen, "seed": options.seed, "pictures": listed}
    picture_folder.write_folder(out, files, manifest | {"report": json.loads(tables.render(report, "json"))})


def _small(picture: Picture) -> str:
    import sys

    from rich.console import Console

    from dltool.output.half_blocks import half_blocks

    console = Console(file=sys.stdout)
    colors = console.color_system if console.is_terminal and console.color_system else "truecolor"
    left = len(picture.tiles) - PICTURES_IN_TERMINAL
    more = f"and {left} more in {picture.name}.png\n" if left > 0 else ""
    return half_blocks(picture.tiles[:PICTURES_IN_TERMINAL], console.width, colors) + more

"""dltool visualize-filters: a run's filters and the inputs that they respond to, as pictures with tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool import filters
from dltool.cli.options import (
    BatchSizeOption,
    Device,
    DeviceOption,
    Format,
    FormatOption,
    OverwriteOption,
    RunArgument,
    take_fields,
)
from dltool.errors import UsageError, messages
from dltool.filters.options import Options, Rows
from dltool.output import tables

if TYPE_CHECKING:
    import pandas as pd

    from dltool.filters.source import Source
    from dltool.output.picture_files import Picture

INDEX = "index.html"
PICTURES_IN_TERMINAL = 64  # of each sheet
TAKES = re.compile(r"^TAKES = ", re.MULTILINE)  # in the file of a mode
KEYS = {"units": ("layer", "unit"), "methods": ("method",)}  # title of a table -> what a row is known by


class Mode(StrEnum):
    """The subject of visualize-filters."""

    kernels = "kernels"
    maximise = "maximise"
    activations = "activations"
    top = "top"
    attribution = "attribution"
    inversion = "inversion"
    dream = "dream"


def _taken() -> dict[str, Sequence[str]]:
    """Return mode -> names of the options that it takes; a mode is a file of `dltool.filters` that states them."""
    files = sorted(Path(filters.__path__[0]).glob("[!_]*.py"))
    modes = [path.stem for path in files if TAKES.search(path.read_text(encoding="utf-8"))]
    return {mode: _module(mode).TAKES for mode in modes}


def _module(mode: str) -> Any:
    return import_module(f"dltool.filters.{mode}")


def _panels() -> dict[str, str]:
    """Return option -> the panel of the help that it stands in: the modes that take it, if not all do."""
    taken = _taken()
    modes = {name: [mode for mode in taken if name in taken[mode]] for names in taken.values() for name in names}
    return {name: f"--mode {', '.join(takers)}" for name, takers in modes.items() if len(takers) < len(taken)}


@take_fields(_panels)
def visualize_filters(
    run: RunArgument,
    more_images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="More images, as after --images.")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="kernels: the weights. maximise: images that maximise units. activations: feature maps of "
            "images. top: the training data's strongest patches of each unit. attribution: the pixels that count "
            "for a class. inversion: images from a layer's features. dream: more of what a layer sees.",
        ),
    ] = Mode.kernels,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder. Default: RUN/filters/MODE.")] = None,
    overwrite: OverwriteOption = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Also show small pictures in the terminal.")] = False,
    options: Options = Options(),  # noqa: B008 - frozen
    batch_size: BatchSizeOption = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Draw a run's filters and the inputs that they respond to: PNG sheets, an index.html, a manifest, a table."""
    from dltool.filters.source import Source
    from dltool.output import picture_folder
    from dltool.runs import directory
    from dltool.runs.opened import OpenedRun

    options = replace(options, images=[*(options.images or ()), *(more_images or ())])
    if terminal and form != Format.table:
        raise UsageError("--terminal goes with --format table")
    options.check_taken(mode, _taken())
    opened = OpenedRun(run)
    out = out or opened.directory / directory.FILTERS / mode
    picture_folder.check_free(out, overwrite)
    source = Source(opened, device, options.seed, batch_size)
    pictures, rows = _module(mode).show(source, options)
    report = {title: _frame(table) for title, table in rows.items()}
    _save(out, source, mode, options, pictures, report)
    if form == Format.table:
        rows = _apart(rows, getattr(_module(mode), "APART", {}))
        report = {title: _frame(table) for title, table in rows.items()}
    messages.write(tables.render(report, form))
    if terminal:
        for picture in pictures:
            messages.write(f"{picture.title}\n{_small(picture)}")
    if form == Format.table:
        messages.write(f"{out / INDEX}\n")


def _frame(rows: Rows) -> pd.DataFrame:
    """Return rows as a frame; numbers of units stay whole where some rows have none."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    for name in frame:
        given = [row[name] for row in rows if row.get(name) is not None]
        if given and len(given) < len(rows) and all(type(value) is int for value in given):
            frame[name] = frame[name].astype("Int64")
    return frame


def _save(
    out: Path,
    source: Source,
    mode: str,
    options: Options,
    pictures: Sequence[Picture],
    report: Mapping[str, pd.DataFrame],
) -> None:
    from dltool.output import picture_folder
    from dltool.output.picture_files import gif, page, png

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


def _apart(report: Mapping[str, Rows], columns: Mapping[str, Sequence[str]]) -> dict[str, Rows]:
    """Return the report with some columns of units or methods moved to tables of their own.

    Args:
        columns: title -> names; rows that have none of them are left out there.
    """
    moved = {name for names in columns.values() for name in names}
    found: dict[str, Rows] = {}
    for title, rows in report.items():
        found[title] = rows
        if title not in KEYS:
            continue
        found[title] = [{name: value for name, value in row.items() if name not in moved} for row in rows]
        for other, names in columns.items():
            having = [row for row in rows if any(row.get(name) is not None for name in names)]
            if having:
                found[other] = [{name: row[name] for name in (*KEYS[title], *names)} for row in having]
    return found

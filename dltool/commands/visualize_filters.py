"""dltool visualize-filters: what a run's filters look like and answer to, as pictures with tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool import filter_modes, picture_folder, runs, tables
from dltool.errors import UsageError
from dltool.filter_modes import FilterOptions
from dltool.filter_source import FilterSource
from dltool.progress import TrainingProgress

if TYPE_CHECKING:
    import pandas as pd

    from dltool.visualization.picture import Picture

INDEX = "index.html"
PICTURES_IN_TERMINAL = 64  # of each sheet


def run(
    path: Path,
    options: FilterOptions,
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
    import pandas as pd

    if terminal and form != "table":
        raise UsageError("--terminal goes with --format table")
    _check_together(options)
    source_folder = runs.RunDirectory(path)
    source_folder.check_is_run()
    out = out or source_folder / runs.FILTERS / options.mode
    picture_folder.check_free(out, overwrite)
    source = FilterSource(path, device, options.seed, batch_size)
    say = TrainingProgress().say
    pictures, rows = filter_modes.MODES[options.mode](source, options, say)
    report = {title: pd.DataFrame(table) for title, table in rows.items()}
    _save(out, source, options, pictures, report)
    write(tables.render(report, form))
    if terminal:
        for picture in pictures:
            write(f"{picture.title}\n{_small(picture)}")
    if form == "table":
        write(f"{out / INDEX}\n")


def _check_together(options: FilterOptions) -> None:
    """Raise for an option that the mode would ignore."""
    defaults = FilterOptions()
    climbing = ("steps", "rate", "l2", "total_variation", "blur", "jitter", "rotation", "scale", "fourier", "bound")
    belongs = {
        "kernels": ("sort", "checkpoints", "scaling", "layers", "units"),
        "maximise": (*climbing, "objective", "diversity", "snapshots", "examples", "layers", "units"),
        "activations": ("images", "examples", "scaling", "layers", "units"),
        "top": (*climbing, "examples", "layers", "units"),
    }
    for name, value in asdict(options).items():
        if name in ("mode", "seed") or value == getattr(defaults, name) or name in belongs[options.mode]:
            continue
        modes = " or ".join(mode for mode, names in belongs.items() if name in names)
        raise UsageError(f"--{name.replace('_', '-')} goes with --mode {modes}, not {options.mode}")
    if options.images and options.examples:
        raise UsageError("--images and --examples exclude each other")


def _save(
    out: Path,
    source: FilterSource,
    options: FilterOptions,
    pictures: Sequence[Picture],
    report: Mapping[str, pd.DataFrame],
) -> None:
    import json

    from dltool.visualization.gallery import page
    from dltool.visualization.picture_files import gif, png

    files: dict[str, bytes] = {}
    listed: list[dict[str, Any]] = []
    for picture in pictures:
        files[f"{picture.name}.png"] = png(picture.pixels)
        listed.append({"file": f"{picture.name}.png", "title": picture.title})
        if picture.frames:
            files[f"{picture.name}.gif"] = gif(picture.frames)
            listed.append({"file": f"{picture.name}.gif", "title": f"{picture.title}, step by step"})
    title = f"{source.directory.path.absolute().name}: {options.mode}"
    shown = [(one["file"], one["title"]) for one in listed]
    files[INDEX] = page(title, shown, report).encode()
    chosen = {name: value for name, value in asdict(options).items() if value != () and value is not None}
    plain = json.loads(json.dumps(chosen, default=str))
    manifest = {"run": str(source), "mode": options.mode, "options": plain, "pictures": listed}
    picture_folder.write_folder(out, files, manifest | {"report": json.loads(tables.render(report, "json"))})


def _small(picture: Picture) -> str:
    import sys

    from rich.console import Console

    from dltool.visualization.half_blocks import half_blocks

    console = Console(file=sys.stdout)
    colors = console.color_system if console.is_terminal and console.color_system else "truecolor"
    left = len(picture.tiles) - PICTURES_IN_TERMINAL
    more = f"and {left} more in {picture.name}.png\n" if left > 0 else ""
    return half_blocks(picture.tiles[:PICTURES_IN_TERMINAL], console.width, colors) + more

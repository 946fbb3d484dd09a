"""--mode dream: images in which a layer sees more of what it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dltool.errors import messages
from dltool.filters import choice
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    from dltool.filters.source import Source

TAKES = ("layers", "units", "images", "examples", "steps", "rate", "jitter", "octaves")


def show(source: Source, options: Options) -> Shown:
    """Draw a sheet with one column per layer, or per unit of --units. Return one row per image and column."""
    from dltool.filters.dreaming import dream
    from dltool.output.picture_files import Picture
    from dltool.output.pixels import shown
    from dltool.output.sheet import Tile, sheet

    names, images = choice.images(source, options)
    own = options.some(steps="steps", rate="step_size", jitter="jitter", octaves="octaves")
    pixels = source.pixels
    columns, labels = [[Tile(shown(image, pixels)) for image in images]], ["image"]
    rows: Rows = []
    for call in choice.layers(source, options, choice.convolutions(source)[-1:]):
        units = choice.units(options, call.path, call.output_shapes[0][-1]) if options.units is not None else [None]
        for unit in units:
            messages.say(f"dreaming of {call.path}" + ("" if unit is None else f", unit {unit}"))
            with usable():
                found = dream(
                    source.model,
                    images,
                    call.path,
                    unit=unit,
                    value_range=(pixels.low, pixels.high),
                    seed=options.seed,
                    **own,
                )
            columns.append([Tile(shown(image, pixels)) for image in found.images])
            labels.append(call.path if unit is None else f"{call.path}\nunit {unit}")
            for name, before, after in zip(names, found.before, found.after, strict=True):
                row: dict[str, Any] = {"image": name, "layer": call.path}
                row |= {} if unit is None else {"unit": unit}
                rows.append({**row, "mean_square_before": float(before), "mean_square_after": float(after)})
    title = "Images in which a layer sees more of what it sees"
    tiles = [list(row) for row in zip(*columns, strict=True)]
    drawn = sheet(title, tiles, row_labels=names, column_labels=labels, size=112)
    small = [tile.pixels for row in tiles for tile in row]
    return [Picture("dream", title, drawn, small)], {"images": rows}

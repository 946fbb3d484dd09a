"""--mode inversion: images made from what a layer keeps of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dltool.errors import messages
from dltool.filters import choice
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    from dltool.filters.source import Source

TAKES = ("layers", "images", "examples", "steps", "rate", "total_variation")


def show(source: Source, options: Options) -> Shown:
    """Draw a sheet with one column per layer, by default every convolution. Return one row per image and layer."""
    from dltool.filters.inverting import inversion
    from dltool.output.picture_files import Picture
    from dltool.output.pixels import shown
    from dltool.output.sheet import Tile, sheet

    names, images = choice.images(source, options)
    own = options.some(steps="steps", rate="learning_rate", total_variation="variation_weight")
    pixels = source.pixels
    columns = [[Tile(shown(image, pixels)) for image in images]]
    chosen = choice.layers(source, options, choice.convolutions(source))
    rows: Rows = []
    for call in chosen:
        messages.say(f"inverting {call.path} for {len(images)} images")
        with usable():
            found = inversion(
                source.model, images, call.path, value_range=(pixels.low, pixels.high), seed=options.seed, **own
            )
        pairs = zip(found.images, found.errors, strict=True)
        columns.append([Tile(shown(image, pixels), f"error {error:.3f}") for image, error in pairs])
        for name, error, start in zip(names, found.errors, found.starting_errors, strict=True):
            row = {"image": name, "layer": call.path, "relative_error": float(error)}
            rows.append({**row, "relative_error_of_noise": float(start)})
    title = "Images reconstructed from a layer's features"
    notes = ["error: |features of the reconstruction - those of the image| / |those of the image|"]
    labels = ["image", *(call.path for call in chosen)]
    tiles = [list(row) for row in zip(*columns, strict=True)]
    drawn = sheet(title, tiles, notes=notes, row_labels=names, column_labels=labels, size=112)
    small = [tile.pixels for row in tiles for tile in row]
    return [Picture("inversion", title, drawn, small)], {"images": rows}

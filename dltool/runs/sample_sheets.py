"""Sheets of images that a run draws, each with the rows of its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.output.picture_files import png
from dltool.output.sheet import Tile, sheet
from dltool.runs.boltzmann_machine import BoltzmannMachine
from dltool.runs.image_generator import ImageGenerator, pixels

SIZE = 56  # of a tile, pixels
TABLE = ("sample", "class", "mean", "neighbour", "distance")


@dataclass(frozen=True)
class Drawing:
    """A sheet as a PNG file, and a table.

    Args:
        file: the PNG's bytes.
        name: of the table.
        rows: of the table.
    """

    file: bytes
    name: str
    rows: list[dict[str, Any]]


def draw_chains(machine: BoltzmannMachine, seed: int, chains: int, rows: int, steps: int) -> Drawing:
    """Draw a row of images after each stretch of Gibbs steps, a row of the table for each."""
    machine.shape  # noqa: B018 - what is no image is refused before anything is drawn
    found = list(machine.draw(chains, rows, steps, seed))
    images = machine.pixels(np.stack([samples.visible for samples in found]))
    picture = sheet(
        f"{machine.run}: samples",
        [[Tile(image) for image in row] for row in images],
        notes=[f"a column for each Gibbs chain of layer '{machine.name}'; means of the visible units"],
        row_labels=[f"{samples.steps:,} steps" for samples in found],
        size=SIZE,
    )
    table = [{"steps": samples.steps, "chains": chains, "free_energy": samples.free_energy} for samples in found]
    return Drawing(png(picture), "chains", table)


def draw_samples(
    maker: ImageGenerator,
    seed: int,
    count: int,
    class_name: str | None = None,
    steps: int | None = None,
    with_neighbours: bool = False,
) -> Drawing:
    """Draw images of a generator's codes, a row of the table for each.

    Args:
        count: samples, or ways of a walk.
        class_name: of all samples; by default each class in turn.
        steps: images of a walk from one code to another; None: no walk.
        with_neighbours: draw next to each sample the nearest training image.
    """
    label = None if class_name is None else maker.find_class(class_name)
    names = maker.generator.class_names
    if steps is None:
        title, images = "samples", maker.draw(count, seed, label)
        width = len(names) if names and label is None else int(np.ceil(np.sqrt(count)))
    else:
        title, width = "from one code to another", steps
        images = maker.walk(count, steps, seed, label)
    tiles: list[Tile | None] = [Tile(image) for image in pixels(images)]
    order = np.arange(len(images)) // (steps or 1)
    labels = [] if not names else [names[label if label is not None else one % len(names)] for one in order.tolist()]
    rows: list[dict[str, Any]] = [
        {"sample": number + 1, "mean": float(image.mean())} for number, image in enumerate(images)
    ]
    notes = [f"class {class_name}"] if class_name is not None else []
    columns = [str(name) for name in names] if names and label is None and steps is None else []
    if with_neighbours:
        near = maker.find_neighbours(images)
        for row, number, distance in zip(rows, near.rows, near.distances, strict=True):
            row |= {"neighbour": int(number), "distance": float(distance)}
        pairs = zip(tiles, (Tile(one) for one in pixels(near.images)), strict=True)
        tiles, columns = [tile for pair in pairs for tile in pair], []
        width = 2 * min(width, 8)
        notes.append("right of each sample the training image that is nearest to it in pixels")
    if labels:
        rows = [{**row, "class": name} for row, name in zip(rows, labels, strict=True)]
    table = [{key: row[key] for key in TABLE if key in row} for row in rows]
    picture = sheet(
        f"{maker.run}: {title}",
        [tiles[start : start + width] for start in range(0, len(tiles), width)],
        notes=notes,
        column_labels=columns,
        size=SIZE,
    )
    return Drawing(png(picture), "samples", table)

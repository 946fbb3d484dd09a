"""dltool visualize-augmentation: a recipe's training images and their augmentations, as a sheet and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dltool.cli import completion
from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverwriteOption
from dltool.errors import Mistakes, messages


def visualize_augmentation(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|RUN [KEY=VALUE]...",
            help="Recipes or runs, each followed by the values to replace in it.",
            autocompletion=completion.sources_with_overrides,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: FILE.png.")] = Path("augmentation.png"),
    examples: Annotated[int, typer.Option("--examples", min=1, max=64, help="Training images to show.")] = 6,
    draws: Annotated[int, typer.Option("--draws", min=1, max=20, help="Augmentations of each.")] = 6,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Draw training images next to their augmentations by the recipe's data.augment, with their mixed targets.

    Boxes and masks are drawn where they have moved.
    The sheets of several recipes stand below each other in one picture.
    """
    from dltool.output import tables
    from dltool.output.files import check_target, output
    from dltool.recipe import build
    from dltool.recipe import overrides as overriding
    from dltool.runs import opened

    check_target("--out", out, overwrite, (".png",))
    grouped = overriding.grouped(sources)
    mistakes = Mistakes()
    recipes = []
    for source, overrides in grouped:
        with mistakes:
            recipes.append(build.load(opened.recipe_file(source), overrides))
    mistakes.finish()
    import pandas as pd

    from dltool.runs.augmentation_sheet import augmentation_sheet

    sheets: list[Any] = []
    rows: list[dict[str, Any]] = []
    for (source, _), recipe in zip(grouped, recipes, strict=True):
        sheet, drawn = augmentation_sheet(source, recipe, examples, draws, device)
        sheets.append(sheet)
        rows += [{"recipe": recipe.name} | row for row in drawn] if len(grouped) > 1 else drawn
    from dltool.output.picture_files import png
    from dltool.output.sheet import stacked

    with output(out) as file:
        file.write(png(stacked(sheets)))
    messages.write(tables.render({"augmented": pd.DataFrame(rows)}, form))

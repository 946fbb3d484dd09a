"""dltool recipes: the bundled recipes and the datasets, listed; a recipe copied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import Format, FormatOption
from dltool.errors import UsageError, messages, suggest
from dltool.output.tables import Rows


def recipes(
    context: typer.Context,
    datasets: Annotated[
        bool, typer.Option("--datasets", help="List the datasets that a recipe may name, with their arguments.")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """List the bundled recipes, or copy one to change it."""
    from dltool.output import tables

    if context.invoked_subcommand is not None:
        return
    if datasets:
        from dltool.recipe import module_outlines, word_tables

        messages.write(tables.render(word_tables.datasets(), form, "arguments"))
        module_outlines.keep()
    else:
        messages.write(tables.render({"recipes": listing()}, form))


def copy(
    name: Annotated[
        str, typer.Argument(help="A bundled recipe's name, such as cnn/lenet5.", autocompletion=completion.bundled)
    ],
    folder: Annotated[Path, typer.Argument(help="Where to copy it.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a copy that nobody has edited.")] = False,
) -> None:
    """Copy a bundled recipe and what it extends; print the copy's path."""
    from dltool.output.files import atomic, is_below_file
    from dltool.recipe import reading

    if is_below_file(folder / name) or (folder.suffix in (".yaml", ".yml") and not folder.exists()):
        raise UsageError(f"{folder}: give the folder to copy into")
    name = name.removesuffix(".yaml")
    known = reading.bundled_names()
    if name not in known:
        raise UsageError(f"no bundled recipe '{name}'.{suggest(name, known)} 'dltool recipes' lists them.")
    source = reading.bundled() / f"{name}.yaml"
    files = reading.chain(source)
    top = os.path.commonpath([file.parent for file in files])
    targets = {file: folder / file.relative_to(top) for file in files}
    for target in targets.values():
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise UsageError(f"{target}: is no regular file. Copy into another folder.")
        if target.exists() and not overwrite:
            raise UsageError(f"{target}: exists already. Use --overwrite to replace it.")
    different = {file: target for file, target in targets.items() if not _is_copy(file, target)}
    for target in different.values():
        if target.exists():
            why = "was edited since dltool copied it, so --overwrite leaves it alone"
            raise UsageError(f"{target}: {why}. Remove it, or copy into another folder.")
    for file, target in different.items():
        with atomic(target) as copied:
            copied.write(file.read_bytes())
    messages.write(f"{targets[source]}\n")


BELOW = (copy,)  # commands below this one


def listing() -> Rows:
    """Return a row a bundled recipe: name and purpose."""
    from dltool.recipe import reading

    names = reading.bundled_names()
    folder = reading.bundled()
    purposes = [reading.purpose(folder / f"{name}.yaml") for name in names]
    return Rows({"recipe": names, "purpose": purposes})


def _is_copy(file: Path, target: Path) -> bool:
    return target.exists() and target.read_bytes() == file.read_bytes()

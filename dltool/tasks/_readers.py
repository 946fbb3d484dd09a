"""How new examples are read: rows of tables, arrays or pictures, as a run's data were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dltool.data.facts import input_shapes, is_table
from dltool.data.formats.table_file import Format
from dltool.data.inputs import arrays, images, tables
from dltool.data.inputs.base import ARRAYS, PICTURES, ROWS, STDIN, Reader
from dltool.errors import UsageError


@dataclass(frozen=True)
class Source:
    """New examples that a run is asked about.

    Args:
        run: its path, for messages.
        names: files, folders, patterns and archives; "-" is `stdin`.
        facts: of its data; of a table with the categories that its model knows.
        stdin: in place of the file "-".
        arguments: of the dataset by which they are read: that of the run's recipe, or that of --data.
        kind: how such a dataset's examples are read, ROWS, ARRAYS or PICTURES; None: as the facts and files say.
        whole: read pictures at their own size, whatever the model's.
        pixel_range: values of black and white in the run's data, None where they are unknown.
    """

    run: str
    names: Sequence[str]
    facts: Mapping[str, Any]
    stdin: BinaryIO | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kind: str | None = None
    pixel_range: tuple[float, float] | None = None
    whole: bool = False


def reader(source: Source) -> Reader:
    """Return the reader of new examples.

    Raises:
        UsageError: they are of no kind that the run answers.
    """
    facts, arguments = source.facts, source.arguments
    shapes = input_shapes(facts)
    possible = (ROWS,) if is_table(facts) else (ARRAYS,) if shapes else (ARRAYS, PICTURES)
    if source.kind not in (None, *possible):
        raise UsageError(f"--data: {source.run} answers {' and '.join(possible)}, these are {source.kind}.")
    if possible == (ROWS,):
        form = Format(arguments.get("separator"), arguments.get("decimal", "."), arguments.get("missing"))
        return tables.TableRows(source.names, facts, form, source.stdin)
    if shapes:
        return arrays.ArrayFiles(source.names, shapes)
    shape = facts.get("input_shape")
    if shape is None:
        raise UsageError(f"{source.run}: its kind of data cannot be read again.")
    if source.whole and len(shape) == 3:
        shape = (None, None, shape[2])
    kind = source.kind
    if kind is None:
        kind = ARRAYS if all(name.lower().endswith(arrays.SUFFIXES) for name in source.names) else PICTURES
    if kind == ARRAYS:
        named = arguments.get("inputs", "x")
        return arrays.ArrayFiles(source.names, shape, named if isinstance(named, str) else named[0])
    return _pictures(source, shape)


def _pictures(source: Source, shape: Sequence[int | None]) -> Reader:
    if STDIN in source.names:
        raise UsageError("-: pictures and arrays are not read from standard input. Give files.")
    if source.pixel_range is None:
        raise UsageError(
            f"{source.run}: was trained on numbers whose black and white are unknown. Give an .npy or .npz file."
        )
    low, high = source.pixel_range
    arguments = source.arguments
    try:
        return images.ImageFiles(
            source.names,
            shape,
            low=low,
            high=high,
            interpolation=arguments.get("interpolation", "bilinear"),
            crop=arguments.get("crop_to_aspect_ratio", False),
            smallest=tuple(source.facts["input_shape"][:2]) if source.whole else (1, 1),
        )
    except ValueError as error:
        raise UsageError(f"{source.run}: {error}. Give an .npy or .npz file.") from error

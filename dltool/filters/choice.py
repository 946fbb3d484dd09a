"""The layers, units and images that the options choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dltool.errors import DataError, UsageError
from dltool.filters.options import Options

if TYPE_CHECKING:
    import numpy as np

    from dltool.filters.source import Source
    from dltool.graph.calls import Call

DEFAULT_UNITS = "0:64"
EXAMPLES = 4  # of the test split, where no images are given


def layers(source: Source, options: Options, default: Sequence[Call]) -> list[Call]:
    """Return the layers of --layers."""
    from dltool.graph.layer_globs import choose_layers

    if not options.layers:
        return list(default)
    try:
        return choose_layers(source.calls, options.layers)
    except ValueError as error:
        raise UsageError(f"{source}: --layers: {error}") from error


def units(options: Options, path: str, count: int | None) -> list[int]:
    """Return the units of --units in a layer of `count` units."""
    from dltool.graph.layer_globs import choose_units

    if count is None:
        raise UsageError(f"--layers: {path} has no fixed number of units")
    try:
        return choose_units(DEFAULT_UNITS if options.units is None else options.units, path, count)
    except ValueError as error:
        raise UsageError(f"--units {error}") from error


def convolutions(source: Source) -> list[Call]:
    """Return the model's convolutions, or without any, its first layer with weights."""
    # frozen layers too: what was trained elsewhere is looked at all the same
    firsts = [call for call in source.calls if call.first]
    weighted = [call for call in firsts if call.layer.weights and not hasattr(call.layer, "adapt")]
    return [call for call in weighted if hasattr(call.layer, "kernel_size")] or weighted[:1]


def images(source: Source, options: Options) -> tuple[list[str], np.ndarray]:
    """Return names and images float32 (n, *shape): those of --images, or the first test examples.

    A file's name is its own, with its folders where files of several folders have the same.
    """
    import numpy as np

    from dltool.filters.given_images import read_images

    shape = source.shape
    if options.images:
        try:
            paths = list(dict.fromkeys(options.images))
            short = Counter(path.name for path in paths)
            names = [path.name if short[path.name] == 1 else path.as_posix() for path in paths]
            return names, read_images(paths, shape, source.pixels)
        except ValueError as error:
            raise DataError(str(error)) from error
    split = "test" if "test" in source.data.splits else "train"
    found = np.concatenate([x.numpy() for x, _ in source.batches(split, options.examples or EXAMPLES)])
    return [f"{split} {number}" for number in range(len(found))], found.astype(np.float32)


def labels(source: Source, options: Options, count: int) -> np.ndarray | None:
    """Return the true classes of the `count` examples that `images` gives, or None for files."""
    import numpy as np

    if options.images:
        return None
    split = "test" if "test" in source.data.splits else "train"
    targets = np.concatenate([np.asarray(y) for _, y in source.batches(split, options.examples or EXAMPLES)])[:count]
    one_hot = targets.ndim > 1 and targets.shape[-1] > 1
    return targets.argmax(axis=-1) if one_hot else targets.reshape(-1).astype(int)

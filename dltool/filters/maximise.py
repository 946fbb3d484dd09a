"""--mode maximise: images that units answer to most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError, messages
from dltool.filters import choice
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    from dltool.filters.maximised_pictures import Climb, Target
    from dltool.filters.source import Source
    from dltool.filters.strongest import Strongest

CLIMBING = ("steps", "rate", "l2", "total_variation", "blur", "jitter", "rotation", "scale")
TAKES = ("layers", "units", "examples", *CLIMBING, "fourier", "bound", "objective", "diversity", "snapshots")
TOP = 9


def show(source: Source, options: Options) -> Shown:
    """Draw one sheet per layer; return rows of units, with the best training examples, and of layers."""
    from dltool.filters.maximised_pictures import maximised, maximised_picture
    from dltool.output.picture_files import can_write_gif

    if options.snapshots and not can_write_gif():
        raise UsageError("--snapshots: Pillow was built without GIF. Install another, or leave the film out.")
    climb = climb_of(options)
    if climb.snapshots > climb.ascent.steps:
        default = ", the default" if options.steps is None else ""
        raise UsageError(f"--snapshots {climb.snapshots}: are more than --steps {climb.ascent.steps}{default}")
    chosen = targets(source, options)
    pictures = []
    unit_rows: Rows = []
    layer_rows: Rows = []
    for target, best in zip(chosen, strongest_of(source, chosen, options), strict=True):
        messages.say(f"maximising {len(target.units)} units of {target.path}, {climb.ascent.steps} steps")
        with usable():
            found, seen = maximised(source.model, target, source.shape, source.pixels, climb, best)
        picture, rows = maximised_picture(found, seen, target, source.pixels, climb, best)
        pictures.append(picture)
        unit_rows += rows
        row: dict[str, Any] = {"layer": target.path, "units": len(best.values), "maximised": len(target.units)}
        row["sees"] = " x ".join(str(part.stop - part.start) for part in seen)
        if "exceeds" in rows[0]:
            row["share_that_exceeds"] = sum(one["exceeds"] for one in rows) / len(rows)
        layer_rows.append(row)
    return pictures, {"units": unit_rows, "layers": layer_rows}


def targets(source: Source, options: Options) -> list[Target]:
    """Return the layers and units, by default of the last convolution."""
    from dltool.filters.maximised_pictures import Target

    chosen = choice.layers(source, options, choice.convolutions(source)[-1:])
    return [
        Target(
            call.path,
            choice.units(options, call.path, call.output_shapes[0][-1]),
            source.fields(call),
            source.class_names(call),
        )
        for call in chosen
    ]


def strongest_of(source: Source, chosen: list[Target], options: Options) -> list[Strongest]:
    """Return the strongest responses to the training data in each layer."""
    from dltool.filters.activation_maps import Activations
    from dltool.filters.strongest import strongest

    shape, size = source.shape, source.data.splits["train"].size
    count = min(options.examples or size, size)
    messages.say(f"looking through {count:,} training examples of shape {' x '.join(map(str, shape))}")
    with usable():
        layers = Activations(source.model, [target.path for target in chosen])
        return strongest(layers, (x for x, _ in source.batches(count=count)), TOP)


def climb_of(options: Options) -> Climb:
    from dltool.filters.maximisation import Ascent
    from dltool.filters.maximised_pictures import Climb

    ascent = Ascent(**options.some(**{name: name for name in CLIMBING}), seed=options.seed)
    names = {"objective": "objective", "bound": "bound", "fourier": "fourier"}
    return Climb(ascent, **options.some(**names, diversity="copies", snapshots="snapshots"))

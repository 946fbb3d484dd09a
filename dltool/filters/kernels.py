"""--mode kernels: sheets of weights, and across training a film of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.filters import checkpoints, choice
from dltool.filters.options import Options, Rows, Shown

if TYPE_CHECKING:
    from dltool.filters.kernel_pictures import Kernels
    from dltool.filters.source import Source
    from dltool.graph.calls import Call

TAKES = ("layers", "units", "scaling", "sort", "checkpoints")
APART = {"Gabor functions": ("orientation_degrees", "frequency_cycles_per_pixel", "gabor_r2")}


def show(source: Source, options: Options) -> Shown:
    """Draw sheets of kernels. Return one row per unit, per layer, and per dead filter or near-duplicate."""
    from dltool.filters.kernel_pictures import fits_gabor, kernel_film, kernel_flaws, kernel_picture, kernel_rows

    kept = checkpoints.models(source) if options.checkpoints else []
    scaling, sort = options.scaling or "filter", options.sort or "norm"
    pictures = []
    unit_rows: Rows = []
    layer_rows: Rows = []
    flaw_rows: Rows = []
    for call, kernels in _drawn(source, options):
        units = choice.units(options, call.path, len(kernels.array))
        rows = kernel_rows(kernels, units)
        picture = kernel_picture(kernels, rows, scaling, sort)
        if kept:
            across = [_of(checkpoints.layer(model, call.path), call.path, source, kernels.first) for _, model in kept]
            if any(one is None or one.array.shape != kernels.array.shape for one in across):
                raise UsageError(f"--checkpoints: {call.path} has another shape in a checkpoint")
            order = units if sort == "index" else sorted(units, key=lambda unit: (-kernels.norms[unit], unit))
            frames = kernel_film([one for one in across if one], [name for name, _ in kept], order, scaling)
            picture = picture.with_film(frames)
        pictures.append(picture)
        unit_rows += rows
        row: dict[str, Any] = {"layer": call.path, "type": kernels.kind, "units": len(kernels.array)}
        row |= {"drawn": len(units), "kernel": kernels.size}
        flaws = kernel_flaws(kernels)
        row["dead"] = sum(flaw["flaw"] == "dead" for flaw in flaws)
        row["near_duplicates"] = len(flaws) - row["dead"]
        flaw_rows += flaws
        if fits_gabor(kernels):
            fits = sorted(one["gabor_r2"] for one in rows if one["gabor_r2"] is not None)
            row["median_gabor_r2"] = fits[len(fits) // 2] if fits else None
        layer_rows.append(row)
    report = {"units": unit_rows, "layers": layer_rows}
    return pictures, report | ({"dead or alike": flaw_rows} if flaw_rows else {})


def _drawn(source: Source, options: Options) -> list[tuple[Call, Kernels]]:
    """Return the chosen layers with kernels, by default convolutions, otherwise the first with any."""
    firsts = [call for call in source.calls if call.first]
    with_any = [call for call in firsts if _of(call.layer, call.path, source, False) is not None]
    chosen = choice.layers(source, options, with_any)
    found = []
    for call in chosen:
        kernels = _of(call.layer, call.path, source, source.acts_on_input(call))
        if kernels is not None:
            found.append((call, kernels))
    if not found:
        names = ", ".join(call.path for call in with_any) or "none"
        asked = f"--layers {' '.join(options.layers)}: no layer" if options.layers else "no layer"
        raise UsageError(f"{source}: {asked} has kernels to draw. Layers with kernels: {names}.")
    if options.layers:
        return found
    return [pair for pair in found if hasattr(pair[0].layer, "kernel_size")] or found[:1]


def _of(layer: Any, path: str, source: Source, first: bool) -> Kernels | None:
    from dltool.filters.kernel_pictures import Kernels, kernels

    # of a later layer as many weights as the input has pixels would be no picture
    array = kernels(layer, tuple(source.model.inputs[0].shape[1:]) if first else ())
    if array is None:
        return None
    kind = type(layer).__name__
    plane = not kind.endswith(("1D", "Embedding"))
    return Kernels(path, kind, array, first, plane, "token" if kind.endswith("Embedding") else "unit")

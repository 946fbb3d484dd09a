"""What visualize-filters can show of a run: a function a mode, which gives pictures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import DataError, UsageError
from dltool.filter_source import FilterSource

if TYPE_CHECKING:
    import numpy as np

    from dltool.diagnostics.calls import Call
    from dltool.visualization.kernel_pictures import Kernels
    from dltool.visualization.maximised_pictures import Climb, Target
    from dltool.visualization.picture import Picture
    from dltool.visualization.strongest import Strongest

Shown = tuple[list["Picture"], dict[str, list[dict[str, Any]]]]  # pictures, and title -> rows, the units' first
EXAMPLES = 4  # of the test split, where no images are given
TOP = 9


@dataclass(frozen=True)
class FilterOptions:
    """The options of visualize-filters, as `dltool visualize-filters --help` tells of them."""

    mode: str = "kernels"
    layers: Sequence[str] = ()
    units: str | None = None
    images: Sequence[Path] = ()
    examples: int | None = None
    scaling: str = "filter"
    sort: str = "norm"
    checkpoints: bool = False
    steps: int = 256
    rate: float = 0.05
    l2: float = 2.0
    total_variation: float = 2.0
    blur: float = 0.0
    jitter: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    fourier: bool = False
    bound: str = "range"
    objective: str = "unit"
    diversity: int = 1
    snapshots: int = 0
    method: str = "gradient"
    seed: int = 0


def kernels(source: FilterSource, options: FilterOptions, say: Callable[[str], None]) -> Shown:
    """Sheets of kernels; a film of each across training where checkpoints are asked for."""
    from dltool.visualization.kernel_pictures import fits_gabor, kernel_film, kernel_picture, kernel_rows
    from dltool.visualization.picture_files import can_write_gif

    films = _checkpoints(source) if options.checkpoints else []
    if films and not can_write_gif():
        raise UsageError("--checkpoints: Pillow was built without GIF. Install another, or leave the film out.")
    pictures: list[Picture] = []
    units_rows: list[dict[str, Any]] = []
    layer_rows: list[dict[str, Any]] = []
    for call, drawn in _with_kernels(source, options):
        units = _units(options, call.path, len(drawn.array))
        rows = kernel_rows(drawn, units)
        picture = kernel_picture(drawn, rows, options.scaling, options.sort)
        if films:
            others = [_of(_find(model, call.path), call.path, source, drawn.first) for _, model in films]
            frames = kernel_film(others, [name for name, _ in films], units, options.scaling)
            picture = type(picture)(picture.name, picture.title, picture.pixels, picture.tiles, frames)
        pictures.append(picture)
        units_rows += rows
        summary: dict[str, Any] = {"layer": call.path, "type": drawn.kind, "units": len(drawn.array)}
        summary |= {"drawn": len(units), "kernel": drawn.size}
        summary |= {word: sum(row[word] for row in rows) for word in ("dead", "near_duplicate")}
        if fits_gabor(drawn):
            fits = sorted(row["gabor_r2"] for row in rows if row["gabor_r2"] is not None)
            summary["median_gabor_r2"] = fits[len(fits) // 2] if fits else None
        layer_rows.append(summary)
    return pictures, {"units": units_rows, "layers": layer_rows}


def maximise(source: FilterSource, options: FilterOptions, say: Callable[[str], None]) -> Shown:
    """Sheets of the images that maximise units, beside the training data's best."""
    from dltool.visualization.maximised_pictures import maximised, maximised_picture
    from dltool.visualization.picture_files import can_write_gif

    if options.snapshots and not can_write_gif():
        raise UsageError("--snapshots: Pillow was built without GIF. Install another, or leave the film out.")
    targets = _targets(source, options)
    best = _strongest(source, [target.path for target in targets], options, say)
    pictures, rows, layer_rows = [], [], []
    climb = _climb(options)
    for target, one in zip(targets, best, strict=True):
        say(f"maximising {len(target.units)} units of {target.path}, {options.steps} steps")
        with _usable():
            found, seen = maximised(source.model, target, source.shape, source.pixels, climb, one)
        picture, more = maximised_picture(found, seen, target, source.pixels, climb, one)
        pictures.append(picture)
        rows += more
        summary: dict[str, Any] = {"layer": target.path, "units": len(one.values), "maximised": len(target.units)}
        summary["sees"] = " x ".join(str(part.stop - part.start) for part in seen)
        if "exceeds" in more[0]:
            summary["exceed_best_training_image"] = sum(row["exceeds"] for row in more) / len(more)
        layer_rows.append(summary)
    return pictures, {"units": rows, "layers": layer_rows}


def activations(source: FilterSource, options: FilterOptions, say: Callable[[str], None]) -> Shown:
    """Sheets of feature maps of the given images."""
    import numpy as np
    import tensorflow as tf

    from dltool.visualization.activation_pictures import activation_picture
    from dltool.visualization.activations import Activations

    chosen = _chosen(source, options, _convolutions(source))
    names, images, _ = given(source, options)
    layer = Activations(source.model, [call.path for call in chosen], nonlinear=True)
    values = [np.asarray(one) for one in tf.function(layer, autograph=False)(tf.constant(images))]
    pictures, rows = [], []
    for name, image, *maps in zip(names, images, *values, strict=True):
        for call, one in zip(chosen, maps, strict=True):
            units = _units(options, call.path, one.shape[-1])
            picture, more = activation_picture(name, image, call.path, one, units, source.pixels, options.scaling)
            pictures.append(picture)
            rows += more
    return pictures, {"units": rows}


def top(source: FilterSource, options: FilterOptions, say: Callable[[str], None]) -> Shown:
    """Sheets of the training data's strongest patches, beside maximised images and deconvnet pictures."""
    import numpy as np

    from dltool.visualization.maximised_pictures import maximised
    from dltool.visualization.patches import cropped
    from dltool.visualization.top_pictures import top_picture

    targets = _targets(source, options)
    best = _strongest(source, [target.path for target in targets], options, say)
    pictures, rows = [], []
    climb = _climb(options)
    for target, one in zip(targets, best, strict=True):
        say(f"maximising {len(target.units)} units of {target.path}, {options.steps} steps")
        with _usable():
            found, seen = maximised(source.model, target, source.shape, source.pixels, climb, one)
        made = [cropped(image[0], seen, source.pixels.mean) for image in found.images]
        wanted = one.examples[list(target.units)]
        images, targets_ = _examples(source, np.unique(wanted))
        place = np.searchsorted(np.unique(wanted), wanted)
        words = source.labels(targets_)
        labels = None if words is None else words[place]
        picture, more = top_picture(
            source.model, target, one, images[place], labels, made, found.activations[:, 0], source.pixels
        )
        pictures.append(picture)
        rows += more
    return pictures, {"units": rows}


def given(source: FilterSource, options: FilterOptions) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Names, images float32 (n, *shape) and targets: those of --images, else of the first test examples."""
    import numpy as np

    from dltool.visualization.given_images import read_images

    if options.images:
        try:
            return (
                [path.name for path in options.images],
                read_images(options.images, source.shape, source.pixels),
                None,
            )
        except ValueError as error:
            raise DataError(str(error)) from error
    shape, split = source.shape, "test" if "test" in source.data.splits else "train"
    found = list(source.batches(split, options.examples or EXAMPLES))
    images = np.concatenate([x.numpy() for x, _ in found]).astype(np.float32).reshape(-1, *shape)
    return [f"{split} {i}" for i in range(len(images))], images, np.concatenate([y.numpy() for _, y in found])


def _examples(source: FilterSource, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training examples by their number, indices rising: images (n, *shape) and targets."""
    import numpy as np

    images, targets, start = [], [], 0
    for x, y in source.batches():
        inside = indices[(indices >= start) & (indices < start + len(y))] - start
        if len(inside):
            images.append(x.numpy()[inside])
            targets.append(y.numpy()[inside])
        start += len(y)
        if start > indices[-1]:
            break
    return np.concatenate(images), np.concatenate(targets)


def _strongest(
    source: FilterSource, paths: Sequence[str], options: FilterOptions, say: Callable[[str], None]
) -> list[Strongest]:
    """The training data's strongest answers in each layer."""
    from dltool.visualization.activations import Activations
    from dltool.visualization.strongest import strongest

    shape, size = source.shape, source.data.splits["train"].size
    count = min(options.examples or size, size)
    say(f"looking through {count:,} training examples of shape {' x '.join(map(str, shape))}")
    layer = Activations(source.model, paths)
    return strongest(layer, (x for x, _ in source.batches(count=count)), TOP)


def _climb(options: FilterOptions) -> Climb:
    from dltool.visualization.maximisation import Ascent
    from dltool.visualization.maximised_pictures import Climb

    names = ("steps", "rate", "l2", "total_variation", "blur", "jitter", "rotation", "scale", "seed")
    ascent = Ascent(**{name: getattr(options, name) for name in names})
    copies = 1 if options.mode == "top" else options.diversity
    snapshots = max(options.snapshots, 1)
    return Climb(ascent, options.objective, options.bound, options.fourier, copies, snapshots)


def _targets(source: FilterSource, options: FilterOptions) -> list[Target]:
    from dltool.visualization.maximised_pictures import Target

    chosen = _chosen(source, options, _convolutions(source)[-1:])
    found = []
    for call in chosen:
        count = call.output_shapes[0][-1]
        if count is None:
            raise UsageError(f"--layers: {call.path} has no fixed number of units")
        units = _units(options, call.path, count)
        found.append(Target(call.path, units, source.fields(call), source.class_names(call)))
    return found


def _chosen(source: FilterSource, options: FilterOptions, default: Sequence[Call]) -> list[Call]:
    from dltool.visualization.layer_choice import choose_layers

    if not options.layers:
        return list(default)
    try:
        return choose_layers(source.calls, options.layers)
    except ValueError as error:
        raise UsageError(f"{source}: --layers {error}") from error


def _units(options: FilterOptions, path: str, count: int) -> list[int]:
    from dltool.visualization.layer_choice import choose_units

    try:
        return choose_units(options.units or DEFAULT_UNITS, path, count)
    except ValueError as error:
        raise UsageError(f"--units {error}") from error


DEFAULT_UNITS = "0:64"


def _convolutions(source: FilterSource) -> list[Call]:
    """The model's convolutions, of a model without any the layers with weights."""
    weighted = [call for call in source.calls if call.first and call.layer.trainable_weights]
    return [call for call in weighted if hasattr(call.layer, "kernel_size")] or weighted[:1]


def _with_kernels(source: FilterSource, options: FilterOptions) -> list[tuple[Call, Kernels]]:
    """Layers and their kernels: the chosen ones, by default convolutions, else the first that has any."""
    found: list[tuple[Call, Kernels]] = []
    chosen = _chosen(source, options, [call for call in source.calls if call.first])
    with_any = [call for call in source.calls if call.first and _of(call.layer, call.path, source, False) is not None]
    for call in chosen:
        drawn = _of(call.layer, call.path, source, bool(with_any) and call is with_any[0])
        if drawn is not None:
            found.append((call, drawn))
    if not found:
        names = ", ".join(call.path for call in with_any) or "none"
        what = f"--layers {' '.join(options.layers)}: no layer" if options.layers else "no layer"
        raise UsageError(f"{source}: {what} has kernels to draw. Layers with kernels: {names}.")
    if not options.layers:
        return [pair for pair in found if hasattr(pair[0].layer, "kernel_size")] or found[:1]
    return found


def _of(layer: Any, path: str, source: FilterSource, first: bool) -> Any:
    from dltool.visualization.kernel_pictures import Kernels
    from dltool.visualization.kernels import kernels as arrays

    array = arrays(layer, tuple(source.model.inputs[0].shape[1:]))
    kind = type(layer).__name__
    if array is None:
        return None
    spatial_or_image = min(array.shape[2:]) > 1
    return Kernels(path, kind, array, first and spatial_or_image, "token" if kind.endswith("Embedding") else "unit")


def _checkpoints(source: FilterSource) -> list[tuple[str, Any]]:
    """Models that callbacks kept in the run, in the order of the numbers in their names, and the run's own last."""
    import re

    import keras

    folder = source.directory.path
    own = source.directory / "model.keras"
    files = [path for path in folder.rglob("*") if path.suffixes[-1:] in ([".keras"], [".h5"]) and path != own]
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        remedy = "Train with the callback ModelCheckpoint: {filepath: 'checkpoints/{epoch:02d}.keras'}."
        raise UsageError(f"--checkpoints: {source} has kept none. {remedy}")

    def order(path: Path) -> list[tuple[int, int, str]]:
        parts = re.findall(r"\d+|\D+", path.relative_to(folder).as_posix())
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]

    films: list[tuple[str, Any]] = []
    for path in sorted(files, key=order):
        try:
            if path.name.endswith(".weights.h5"):
                model = keras.models.clone_model(source.model)
                model.load_weights(path)
            else:
                model = keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many kinds on a file that is no model
            raise DataError(f"{path}: is no readable model or weights of this run.") from error
        films.append((path.stem.removesuffix(".weights"), model))
    return [*films, ("selected", source.model)]


def _find(model: Any, path: str) -> Any:
    from dltool.diagnostics.calls import calls

    for call in calls(model):
        if call.path == path:
            return call.layer
    raise DataError(f"--checkpoints: a checkpoint has no layer {path}: it is of another model.")


def _usable() -> Any:
    """What leaves say of options that do not go together."""
    from contextlib import contextmanager

    @contextmanager
    def translated() -> Any:
        try:
            yield
        except ValueError as error:
            raise UsageError(str(error)) from error

    return translated()


MODES: Mapping[str, Callable[..., Shown]] = {
    "kernels": kernels,
    "maximise": maximise,
    "activations": activations,
    "top": top,
}

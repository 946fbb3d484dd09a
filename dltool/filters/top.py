"""--mode top: the training data's strongest patches of each unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dltool.errors import messages
from dltool.filters.maximise import CLIMBING, climb_of, strongest_of, targets
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    import numpy as np

    from dltool.filters.source import Source

TAKES = ("layers", "units", "examples", *CLIMBING, "fourier", "bound")
APART = {"strongest examples": ("examples",)}


def show(source: Source, options: Options) -> Shown:
    """Draw one sheet per layer; return one row per unit."""
    import numpy as np

    from dltool.filters.maximised_pictures import maximised, top_picture
    from dltool.filters.strongest import cropped

    chosen, climb = targets(source, options), climb_of(options)
    pictures = []
    rows: Rows = []
    for target, best in zip(chosen, strongest_of(source, chosen, options), strict=True):
        messages.say(f"maximising {len(target.units)} units of {target.path}, {climb.ascent.steps} steps")
        with usable():
            found, seen = maximised(source.model, target, source.shape, source.pixels, climb, best)
        made = [cropped(image[0], seen, source.pixels.mean) for image in found.images]
        wanted = best.examples[list(target.units)]
        numbers, place = np.unique(wanted, return_inverse=True)
        images, answers = _examples(source, numbers)
        place = place.reshape(wanted.shape)
        words = source.labels(answers)
        labels = None if words is None else words[place]
        active = found.activations[:, 0]
        picture, more = top_picture(source.model, target, best, images[place], labels, made, active, source.pixels)
        pictures.append(picture)
        rows += more
    return pictures, {"units": rows}


def _examples(source: Source, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training examples by their numbers, which rise: images (n, *shape) and targets."""
    import numpy as np

    images, answers, start = [], [], 0
    for x, y in source.batches():
        inside = numbers[(numbers >= start) & (numbers < start + len(y))] - start
        if len(inside):
            images.append(x.numpy()[inside])
            answers.append(y.numpy()[inside])
        start += len(y)
        if start > numbers[-1]:
            break
    return np.concatenate(images), np.concatenate(answers)

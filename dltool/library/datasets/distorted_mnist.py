"""The handwritten digits of MNIST, turned, scaled and shifted, or shifted among fragments of other digits."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Examples
from dltool.library.datasets.mnist import Mnist

SIDES = {"rotation-translation-scale": 42, "cluttered": 60}  # kind -> pixels a side
SIDE = 28  # of MNIST's images
TURN = 45.0  # degrees at most, either way
SCALES = (0.7, 1.2)
FRAGMENT = 8  # pixels a side
PART_SEEDS = {"train": 0, "test": 1}


class DistortedMnist(Mnist):
    """MNIST's 70,000 digits, each at another place: x uint8 (n, side, side, 1), 0 = background; y int32 (n,) in 0..9.

    Two kinds:

    - "rotation-translation-scale": images of 42 x 42 pixels. A digit is turned by an angle uniform in [-45, 45]
      degrees, enlarged by a factor uniform in [0.7, 1.2], and shifted so that the frame of its 28 x 28 pixels
      lies anywhere inside, uniform for each axis:

          y(p) = x(c + R (p - m - t) / scale),  c and m the middles of digit and image

      It is interpolated bilinearly, once, as `scipy.ndimage.affine_transform` does at order 1. Frames that are turned
      may reach beyond the border with their corners, which are empty.
    - "cluttered": images of 60 x 60 pixels with the digit as it is anywhere inside, and squares of 8 x 8 pixels from
      anywhere in other digits of the same part, anywhere. Where several lie, the brightest one shows.

    Args:
        kind: "rotation-translation-scale" or "cluttered".
        fragments: squares in an image of the kind "cluttered", int >= 0. Defaults to 6.
        seed: of angles, factors, places and fragments, int >= 0. Defaults to 0.
        path: folder of MNIST's files, as for `Mnist`.
    Raises:
        FileNotFoundError: as `Mnist`.
        ValueError: if an argument is out of its range; on reading, if a file is damaged.
    Limits: images are drawn once, the same in each epoch. Turned by 45 degrees, a 4 is sometimes a 9, and a fragment
        may cover the digit, so no net is right always.
    Reference: Jaderberg, Simonyan, Zisserman & Kavukcuoglu, 2015, Spatial transformer networks, section 4.1 and
        appendix A.1; Mnih, Heess, Graves & Kavukcuoglu, 2014, Recurrent models of visual attention, section 4.1.
    """

    def __init__(
        self,
        kind: str = "rotation-translation-scale",
        fragments: int = 6,
        seed: int = 0,
        path: str | os.PathLike | None = None,
    ):
        super().__init__(path)
        self.kind = arguments.choice("DistortedMnist", "kind", kind, SIDES)
        self.fragments = arguments.integer("DistortedMnist", "fragments", fragments, 0)
        self.seed = arguments.integer("DistortedMnist", "seed", seed, 0)

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "input_shape": (SIDES[self.kind], SIDES[self.kind], 1)}

    def read(self, part: str) -> Examples:
        examples = super().read(part)
        digits = np.asarray(examples.x)[..., 0]
        rng = np.random.default_rng([self.seed, PART_SEEDS[part]])
        found = clutter(digits, rng, self.fragments) if self.kind == "cluttered" else distort(digits, rng)
        return Examples(found[..., None], examples.y)


def distort(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return digits uint8 (n, 28, 28) turned, scaled and shifted into images uint8 (n, 42, 42)."""
    from scipy import ndimage

    side = SIDES["rotation-translation-scale"]
    found = np.empty((len(digits), side, side), np.uint8)
    angles = np.deg2rad(rng.uniform(-TURN, TURN, len(digits)))
    scales = rng.uniform(*SCALES, len(digits))
    room = (side - SIDE * scales) / 2  # pixels that the frame of the digit may be off the middle
    shifts = rng.uniform(-1, 1, (len(digits), 2)) * room[:, None]
    for digit, angle, scale, shift, image in zip(digits, angles, scales, shifts, found, strict=True):
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        offset = (SIDE - 1) / 2 - matrix @ ((side - 1) / 2 + shift)
        seen = ndimage.affine_transform(digit.astype(np.float32), matrix, offset, image.shape, order=1)
        image[:] = np.rint(seen)
    return found


def clutter(digits: np.ndarray, rng: np.random.Generator, fragments: int) -> np.ndarray:
    """Return digits uint8 (n, 28, 28) anywhere in images uint8 (n, 60, 60) with fragments of other digits."""
    count, side = len(digits), SIDES["cluttered"]
    found = np.zeros((count, side, side), np.uint8)
    places = rng.integers(0, side - SIDE + 1, (count, 2))
    others = rng.integers(1, max(count, 2), (count, fragments))  # steps from the digit on, so that none is its own
    sources = (np.arange(count)[:, None] + others) % count
    cuts = rng.integers(0, SIDE - FRAGMENT + 1, (count, fragments, 2))
    targets = rng.integers(0, side - FRAGMENT + 1, (count, fragments, 2))
    for index, image in enumerate(found):
        row, column = places[index]
        image[row : row + SIDE, column : column + SIDE] = digits[index]
        for source, cut, target in zip(sources[index], cuts[index], targets[index], strict=True):
            square = digits[source, cut[0] : cut[0] + FRAGMENT, cut[1] : cut[1] + FRAGMENT]
            under = image[target[0] : target[0] + FRAGMENT, target[1] : target[1] + FRAGMENT]
            np.maximum(under, square, out=under)
    return found

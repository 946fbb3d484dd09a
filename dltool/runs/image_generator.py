"""A run that makes images of codes, opened for drawing: samples, walks between codes, nearest training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dltool.errors import UsageError, suggest_or_list
from dltool.runs import opened
from dltool.runs.opened import OpenedRun
from dltool.tasks._generation import Generator

AT_ONCE = 256  # made images that are compared with all training images


@dataclass(frozen=True)
class Neighbours:
    """The training image that is nearest to each made image.

    Args:
        rows: its number in the training split, int (n,).
        images: float32 (n, ...), pixels in [0, 1].
        distances: Euclidean, of all pixels, float (n,).
    """

    rows: np.ndarray
    images: np.ndarray
    distances: np.ndarray


class ImageGenerator:
    """A finished run of an adversarial training or of a variational autoencoder.

    Args:
        run: the run.
        device: "auto", "cpu" or "gpu".
        generator: in the run's model.
    """

    def __init__(self, run: OpenedRun, generator: Generator) -> None:
        self.run, self.generator = run, generator

    @classmethod
    def find(cls, run: OpenedRun, device: str) -> ImageGenerator | None:
        """Return the generator of a run, None where its model makes no images of codes.

        Args:
            device: "auto", "cpu" or "gpu".
        Raises:
            UsageError: it makes something that is no image.
        """
        opened.configure([run], device)
        generator = Generator.find(run.model, run.facts)
        if generator is None:
            return None
        shape = tuple(run.facts.get("target_shape") or run.facts.get("input_shape") or ())
        if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
            raise UsageError(f"{run}: what it makes is no image: its outputs have the shape {shape}.")
        return cls(run, generator)

    def find_class(self, name: str) -> int:
        """Return the number of a class by its name.

        Raises:
            UsageError: there is none, or the generator is told no classes.
        """
        names = self.generator.class_names
        if not names:
            raise UsageError(f"--class: {self.run} is told no class (data.inputs.classes). Leave it out.")
        if name not in names:
            raise UsageError(f"--class {name}: {self.run} knows no such class.{suggest_or_list(name, names)}")
        return list(names).index(name)

    def draw(self, count: int, seed: int, label: int | None = None) -> np.ndarray:
        """Return made images, float32 (count, ...); of a generator that is told classes each in turn, or all of one.

        Args:
            label: the number of a class.
        """
        return self.generator.make(self.generator.draw_codes(count, seed), self._labels(count, label))

    def walk(self, rows: int, steps: int, seed: int, label: int | None = None) -> np.ndarray:
        """Return images of codes on the way from one to another, float32 (rows * steps, ...), row by row.

        The way is an arc: codes between two draws of N(0, 1) keep their length, which a straight line would not.

        Args:
            rows: how many ways.
            steps: images of each, at least 2; the first and the last are those of drawn codes.
        """
        ends = self.generator.draw_codes(2 * rows, seed).reshape(rows, 2, -1)
        first, last = ends[:, 0], ends[:, 1]
        cosine = np.sum(first * last, 1) / np.maximum(
            np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1), 1e-12
        )
        angle = np.maximum(np.arccos(np.clip(cosine, -1, 1)), 1e-6)[:, None, None]  # (rows, 1, 1)
        t = np.linspace(0, 1, steps)[None, :, None]
        codes = np.sin((1 - t) * angle) * first[:, None] + np.sin(t * angle) * last[:, None]
        codes = (codes / np.sin(angle)).astype(np.float32).reshape(rows * steps, -1)
        labels = self._labels(rows, label)
        return self.generator.make(codes, None if labels is None else np.repeat(labels, steps))

    def find_neighbours(self, images: np.ndarray) -> Neighbours:
        """Return the nearest training image of each made one.

        Args:
            images: float32 (n, ...), pixels in [0, 1].
        """
        split = self.run.data.splits["train"]
        batches = [np.asarray(y, np.float32) for _, y in self.run.data.pipeline("train", 1000).batches()]
        known = np.concatenate(batches).reshape(split.size, -1)
        flat = images.reshape(len(images), -1)
        squares, rows = np.sum(known**2, axis=1), []
        for start in range(0, len(flat), AT_ONCE):
            rows.append(np.argmin(squares - 2 * flat[start : start + AT_ONCE] @ known.T, axis=1))
        found = np.concatenate(rows)
        distances = np.linalg.norm(flat - known[found], axis=1)
        return Neighbours(found, known[found].reshape(images.shape), distances)

    def _labels(self, count: int, label: int | None) -> np.ndarray | None:
        """Return a class for each of some images: the one given, or each in turn; None where it takes no classes."""
        classes = self.generator.classes
        return None if not classes else np.arange(count) % classes if label is None else np.full(count, label)


def pixels(images: np.ndarray) -> np.ndarray:
    """Return images (n, rows, columns[, 1 or 3]) in [0, 1] as uint8 (n, rows, columns[, 3])."""
    values: np.ndarray = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
    return values[..., 0] if values.ndim == 4 and values.shape[-1] == 1 else values

"""A run whose model holds restricted Boltzmann machines, opened for drawing samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dltool.errors import DataError, UsageError
from dltool.runs import opened
from dltool.runs.opened import OpenedRun

MACHINE = "step_gibbs"  # method of a layer that is such a machine


@dataclass(frozen=True)
class Samples:
    """What chains hold after some steps.

    Args:
        steps: Gibbs steps from the chains' start.
        visible: the mean of the visible units given the hidden ones, float32 (chains, features).
        free_energy: mean over the chains, of the top machine's own visible units, in nats.
    """

    steps: int
    visible: np.ndarray
    free_energy: float


class BoltzmannMachine:
    """A finished run of an RBM or of a deep belief net: Gibbs chains in its last RBM, and from there down.

    Each RBM below gives the mean of its visible units for what the one above gives.

    Args:
        run: the run.
        device: "auto", "cpu" or "gpu".
    Raises:
        DataError: its model holds no RBM.
        UsageError: its RBMs do not lie on each other, or its inputs are no images.
    """

    def __init__(self, run: OpenedRun, device: str) -> None:
        self.run = run
        opened.configure([run], device)
        from dltool.graph.keras_internals import inner_layers

        self.layers = [layer for layer in inner_layers(run.model) if hasattr(layer, MACHINE)]
        if not self.layers:
            known = "TextFile and PythonDocs are such data"
            text = f"{run}: was not trained as a language model on a text ({known})"
            raise DataError(f"{text}, and holds no layer RBM or GaussianSampling")
        for below, above in zip(self.layers, self.layers[1:], strict=False):
            if below.units != above.kernel.shape[0]:
                raise UsageError(f"{run}: layer '{above.name}' does not lie on '{below.name}': nothing can be drawn.")

    @property
    def name(self) -> str:
        """The name of the layer whose chains run."""
        return str(self.layers[-1].name)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image, (rows, columns) or (rows, columns, 3)."""
        shape = tuple(self.run.facts.get("input_shape") or ())
        if len(shape) == 3 and shape[2] == 1:
            shape = shape[:2]
        features = self.layers[0].kernel.shape[0]
        if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or int(np.prod(shape)) != features:
            raise UsageError(
                f"{self.run}: its {features} visible units are no image: its inputs have the shape {shape}."
            )
        return shape

    def draw(self, chains: int, rows: int, steps: int, seed: int) -> Iterator[Samples]:
        """Yield what the chains hold after each `steps` steps, `rows` times.

        Chains begin with hidden units that are 0 or 1 with equal probability.
        """
        import keras
        import tensorflow as tf

        *below, top = self.layers
        generator = keras.random.SeedGenerator(seed)
        hidden = tf.cast(keras.random.uniform((chains, top.units), seed=generator) < 0.5, top.kernel.dtype)

        @tf.function
        def run(hidden: Any) -> Any:
            visible = tf.zeros((chains, top.kernel.shape[0]), hidden.dtype)
            for _ in tf.range(steps):
                visible, _, hidden = top.step_gibbs(hidden, generator)
            return visible, hidden

        for row in range(rows):
            visible, hidden = run(hidden)
            seen = top.infer_visible(hidden)
            for layer in reversed(below):
                seen = layer.infer_visible(seen)
            energy = float(np.mean(top.compute_free_energy(visible)))
            yield Samples((row + 1) * steps, np.asarray(seen, np.float32), energy)

    def pixels(self, visible: np.ndarray) -> np.ndarray:
        """Return visible units (..., features) as uint8 images: 0 is black and 1 white.

        Gaussian units: their least is black and their largest white.
        """
        if self.layers[0].visible == "gaussian":
            low, high = float(visible.min()), float(visible.max())
            visible = (visible - low) / max(high - low, 1e-12)
        values = np.rint(255 * np.clip(visible, 0, 1)).astype(np.uint8)
        return np.reshape(values, (*values.shape[:-1], *self.shape))

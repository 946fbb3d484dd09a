"""Own Python for tests: a word of each kind in one file, as a user would write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dltool.recipe import plugins

SOURCE = '''
"""Own words: nothing here runs before --plugin names the file."""

import keras
import numpy as np

from dltool import ArrayTask, Dataset, Examples, GradientDescent, Schedule


class Bump(keras.layers.Layer):
    """exp(-(x / width)^2) of each input.

    Args:
        width: distance from 0 at which the output is 1/e.
    """

    def __init__(self, width=1.0, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def call(self, inputs):
        return keras.ops.exp(-keras.ops.square(inputs / self.width))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


class HalfMoons(Dataset):
    """Two half circles, a class each."""

    task = "half_circles"

    def __init__(self, examples: int = 60):
        if examples < 1:
            raise ValueError(f"The 'examples' parameter of HalfMoons must be an int > 0. Got {examples} instead.")
        self.examples = examples

    def sizes(self):
        return {"train": 2 * self.examples}

    def facts(self):
        return {"input_shape": (2,), "num_classes": 2, "class_names": ["upper", "lower"]}

    def labels(self, part):
        return np.repeat(np.arange(2, dtype="int32"), self.examples)

    def read(self, part):
        angle = np.linspace(0, np.pi, self.examples)
        upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
        return Examples(np.concatenate([upper, lower]).astype("float32"), self.labels(part))


class HalfCircles(ArrayTask):
    """Points belong to half circles."""

    targets = "half circles"

    def judge(self, model, split):
        judgement = super().judge(model, split)
        judgement.figures["right_per_mille"] = round(1000 * judgement.figures["worst_class"])
        return judgement


class Sawtooth(Schedule):
    """rate * (1 - (step mod period) / period)."""

    def __init__(self, rate: float, period: int = 10):
        self.rate, self.period = rate, period

    def values(self, step):
        return self.rate * (1 - step % self.period / self.period)


class WorstClass(keras.metrics.SparseCategoricalAccuracy):
    """Share of right answers."""

    def __init__(self, name="worst_class", dtype=None):
        super().__init__(name, dtype)


class Descent(GradientDescent):
    """Gradient descent under another name."""


def TinyNet(input_shape, classes: int = 2, width: int = 4):
    """A net of bumps."""
    inputs = keras.Input(tuple(input_shape))
    return keras.Model(inputs, keras.layers.Dense(classes)(Bump()(keras.layers.Dense(width)(inputs))))


class _Hidden(keras.layers.Layer):
    """No word of recipes."""


def own_words(greeting: str = "hello") -> None:
    """Greet on stdout. Nothing else."""
    print(greeting)
'''

RECIPE = """\
data: {dataset: {HalfMoons: 50}, validation_split: 0.2}
model:
  - Dense: 16
  - Bump: {width: 2.0}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: {Sawtooth: {rate: 0.05}}}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [WorstClass]
fit: {epochs: 2}
procedure: Descent
"""


def write(folder: Path, name: str = "own_words.py") -> Path:
    """Write the words into a folder; return the file."""
    path = folder / name
    path.write_text(SOURCE)
    return path


def install(folder: Path) -> Path:
    """Write the words into a package "garden" that a folder of Python's path has, with its entry point."""
    package, information = folder / "garden", folder / "garden-1.2.dist-info"
    package.mkdir()
    information.mkdir()
    (package / "__init__.py").write_text('"""Nothing."""\n')
    (package / "_private.py").write_text("import keras\nclass Hidden(keras.layers.Layer): ...\n")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: garden\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[dltool.plugins]\ngarden = garden\n")
    return write(package)


@contextmanager
def forgotten() -> Iterator[None]:
    """Forget plugins when the block ends."""
    try:
        yield
    finally:
        plugins.forget()

"""A run opened for visualize-filters: its model's layers, and the data that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dltool.errors import DataError, UsageError
from dltool.errors.control_characters import visible
from dltool.recipe.data import Data
from dltool.runs import opened
from dltool.runs.opened import OpenedRun
from dltool.tasks import base as tasks
from dltool.training import backend

if TYPE_CHECKING:
    import numpy as np

    from dltool.graph.calls import Call
    from dltool.graph.receptive_field import Field
    from dltool.output.pixels import PixelRange

SAMPLE = 4096  # training examples that the pixels' range and mean are taken from


class Source:
    """A finished run.

    Args:
        run: a finished run.
        device: "auto", "cpu" or "gpu".
        seed: of everything that is drawn.
        batch_size: examples at a time; by default as `eval`.
    Raises:
        DataError: its model cannot be read.
        UsageError: the model's graph is not known.
    """

    def __init__(self, run: OpenedRun, device: str, seed: int, batch_size: int | None) -> None:
        self.run = run
        self.directory, self.recipe, self.facts = run.directory, run.recipe, run.facts
        self.seed, self._batch_size = seed, batch_size
        opened.configure([self.run], device)
        backend.make_gpu_deterministic(seed)
        self.model = self.run.model
        from dltool.graph.calls import calls
        from dltool.graph.receptive_field import receptive_fields

        try:
            self.calls: list[Call] = calls(self.model)
        except ValueError as error:
            raise UsageError(f"{self.directory}: {error}") from error
        self._fields = dict(zip(map(id, self.calls), receptive_fields(self.calls), strict=True))

    def __str__(self) -> str:
        return str(self.directory)

    def fields(self, call: Call) -> tuple[Field, ...] | None:
        """Return what a unit of a layer sees along each image axis; None for all."""
        fields = self._fields[id(call)]
        return fields if fields and len(fields) == len(self.model.inputs[0].shape) - 2 else None

    def acts_on_input(self, call: Call) -> bool:
        """Return whether the layer's weights see the input: no weights mix inputs before."""
        from dltool.graph.receptive_field import is_pointwise

        before = [self.calls[source] for source in call.sources if source is not None]
        mixing = any(one.layer.weights and not is_pointwise(one.layer) for one in before)
        return not mixing and all(map(self.acts_on_input, before))

    def class_names(self, call: Call) -> Sequence[str] | None:
        """Return the class names if the layer's units are the classes, otherwise None."""
        names = self.facts.get("class_names") or range(self.facts.get("num_classes") or 0)
        last = [one for one in self.calls if getattr(one.layer, "kernel", None) is not None][-1:]
        if not names or call not in last or call.output_shapes[0][-1] != len(names):
            return None
        return [visible(str(name)) for name in names]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image, (rows, columns, channels), or a signal, (positions, channels).

        Raises:
            UsageError: the model takes something else.
        """
        inputs = self.model.inputs
        shape = tuple(inputs[0].shape[1:])
        known = tuple(self.facts.get("input_shape") or ())
        if len(known) == len(shape):  # an input of any size: as the data are
            shape = tuple(size or other for size, other in zip(shape, known, strict=True))
        numbers = "float" in str(inputs[0].dtype) or "int8" in str(inputs[0].dtype)
        if len(inputs) > 1 or len(shape) not in (2, 3) or None in shape or not numbers:
            words = " and ".join(str(tuple(tensor.shape[1:])) for tensor in inputs)
            raise UsageError(
                f"{self}: is no image model: it takes inputs of shape {words}. "
                "For these runs use --mode kernels, which draws embeddings and dense layers."
            )
        return shape

    @cached_property
    def data(self) -> Data:
        return self.run.data

    def batches(self, split: str = "train", count: int | None = None) -> Iterator[tuple[Any, Any]]:
        """Yield batches (x, y) of a split, in stored order: all, or enough for `count` examples."""
        if split not in self.data.splits:
            split = "train"
        size = self._batch_size or self.data.evaluation_batch(32)
        left = count
        with self.data.explained():
            for x, y in self.data.pipeline(split, size).batches():
                if left is not None:
                    x, y = x[:left], y[:left]
                    left -= len(y)
                if len(y):
                    self._check(x)
                    yield x, y
                if left == 0:
                    return

    @cached_property
    def pixels(self) -> PixelRange:
        """The pixels of the training data."""
        import numpy as np

        from dltool.output.pixels import PixelRange

        return PixelRange.of(np.concatenate([x.numpy() for x, _ in self.batches(count=SAMPLE)]))

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        """Return targets in words, None if they are no classes."""
        import numpy as np

        words = tasks.of(self.facts).words(targets, self.facts)
        return None if words is None else np.array(words)

    def _check(self, x: Any) -> None:
        if not hasattr(x, "shape") or tuple(x.shape[1:]) != self.shape:
            raise DataError(f"{self}: the model takes images of shape {self.shape}, its data have others.")

"""A pipeline's batches, one pass over the data after another."""

from __future__ import annotations

from dltool.data.pipelines.base import Epoch, Pipeline, Step


class Repeated:
    """Batches of one pass over the data after another.

    Args:
        seed: of the order of each pass, None for the order as stored.
    """

    def __init__(self, train: Pipeline, seed: int | None) -> None:
        self.train, self.seed = train, seed
        self._under_way: tuple[int, Step] | None = None  # a pass, and what is done with its batches
        self._epoch: Epoch | None = None

    def begins(self, batch: int) -> bool:
        """Return whether a batch, counted from the beginning of training, is the first of a pass."""
        return batch % self.train.steps == 0

    def advance(self, step: Step, batch: int, steps: int) -> tuple[int, float]:
        """Run a step on `steps` batches from this one on, at most to the end of its pass.

        Returns:
            How many were done, fewer where a step gave no finite value, and the last step's value.
        """
        number, start = divmod(batch, self.train.steps)
        if self._epoch is None or self._under_way != (number, step):
            self._epoch = self.train.epoch(step, self.train.order(self.seed, number), start)
            self._under_way = (number, step)
        reached, value = self._epoch.advance(start, min(start + steps, self.train.steps))
        return reached - start, value

"""Pairs of token sequences of different lengths, in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Sequences one after another.

    Args:
        tokens: of all sequences, int32 (tokens,).
        offsets: where each begins, and the end of the last, int64 (sequences + 1,).
    """

    tokens: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Ragged:
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        flat = np.fromiter((token for one in sequences for token in one), np.int32, int(lengths.sum()))
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each sequence, int64 (sequences,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations.

    Args:
        source: [language token of the target] tokens, end: what an encoder reads.
        target: begin, tokens, end: without its last token what a decoder reads, without its first what it is to give.
    """

    source: Ragged
    target: Ragged

    def __len__(self) -> int:
        return len(self.source)

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

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """Return the sequences of all parts, one part after another."""
        ends = np.cumsum([0, *(len(one.tokens) for one in parts)])
        offsets = [one.offsets[:-1] + end for one, end in zip(parts, ends, strict=False)]
        return cls(np.concatenate([one.tokens for one in parts]), np.concatenate([*offsets, ends[-1:]]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each sequence, int64 (sequences,)."""
        return np.diff(self.offsets)


def batch_edges(lengths: np.ndarray, batch_tokens: int) -> np.ndarray:
    """Return where batches of sequences begin, and where the last one ends, int64 (batches + 1,).

    Each has as many as `batch_tokens` holds of the length of its first, at least one; the last has what is left.

    Args:
        lengths: of the sequences in their order, (sequences,); within a batch the first is to be the longest.
        batch_tokens: tokens a batch, padding included.
    """
    edges = [0]
    while edges[-1] < len(lengths):
        edges.append(edges[-1] + max(batch_tokens // max(int(lengths[edges[-1]]), 1), 1))
    return np.array([*edges[:-1], len(lengths)] if len(edges) > 1 else edges, np.int64)


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

"""Pieces learned by sentencepiece: its model file made and opened, its complaints in one line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece writes a space
LONGEST_LINE = 1 << 20  # bytes; a longer line takes no part in learning


def learn(
    lines: Iterable[str], size: int | None, model_type: str, threads: int, have: str, need: str, **options: Any
) -> bytes:
    """Return sentencepiece's model file of pieces learned from lines.

    Args:
        size: pieces; None: all that occur.
        model_type: "word", "char", "bpe" or "unigram".
        threads: sums, and with them the pieces, depend on their number in the last digits.
        have, need: how the error begins if there are fewer pieces, or if more are needed.
        **options: further ones of `SentencePieceTrainer.train`.
    Raises:
        ValueError: the lines have fewer pieces than that, or more characters.
    Reference: Kudo & Richardson, 2018, arXiv:1808.06226; bpe: Sennrich et al., 2016, arXiv:1508.07909; unigram: Kudo,
        2018, arXiv:1804.10959.
    """
    from sentencepiece import SentencePieceTrainer

    written = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=written,
            vocab_size=size or 1 << 20,
            model_type=model_type,
            character_coverage=1.0,
            num_threads=threads,
            max_sentence_length=LONGEST_LINE,
            minloglevel=5,
            **options,
        )
    except (RuntimeError, OSError) as error:
        raise ValueError(_remedy(str(error), size, have, need)) from error
    return written.getvalue()


def open_model(model: bytes) -> Any:
    """Return the SentencePieceProcessor of a model file.

    Raises:
        ValueError: it is no model of sentencepiece.
    """
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_proto=model)
        processor.encode("a")  # an empty file is refused only when it is used
    except RuntimeError as error:
        raise ValueError("is no model of sentencepiece") from error
    return processor


def _remedy(said: str, size: int | None, have: str, need: str) -> str:
    """Return one line for sentencepiece's complaint about a vocabulary that is too large or too small."""
    limit = re.search(r"value <= (\d+)", said)
    if limit is not None:
        return f"{have} {limit[1]} pieces at most: lower 'vocabulary_size'. Got {size}."
    needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", said)
    if needed is not None:
        return f"{need} {needed[1]} pieces: raise 'vocabulary_size'. Got {size}."
    return f"sentencepiece learned no pieces with 'vocabulary_size' {size} ({' '.join(said.split())})."

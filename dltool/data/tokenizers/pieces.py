"""Subword pieces of sentencepiece."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import numpy as np

from dltool.data.tokenizers.base import REPLACEMENT, UNKNOWN, Tokenizer

FILE = "pieces.model"
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece writes a space
THREADS = 4  # whatever the machine: sums of a fit depend on it in the last digits
LONGEST_LINE = 1 << 20  # bytes; a longer line takes no part in fitting


class Pieces(Tokenizer):
    """Subword pieces learned from a text; characters that no piece covers are spelt in bytes.

    White space is kept and a line's end is a piece of its own, so that the joined pieces give the text.

    Args:
        model: sentencepiece's own model file.
    Limits: U+2581, which stands for the space inside sentencepiece, reads as a space.
    Reference: Kudo & Richardson, 2018, arXiv:1808.06226; bpe: Sennrich et al., 2016, arXiv:1508.07909; unigram: Kudo,
        2018, arXiv:1804.10959.
    """

    kind = "pieces"

    def __init__(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self.model = model
        try:
            self._processor = SentencePieceProcessor(model_proto=model)
            self._processor.encode("a")  # an empty file is refused only when it is used
        except RuntimeError as error:
            raise ValueError(f"{FILE} is no model of sentencepiece") from error
        super().__init__(self._text_of(token) for token in range(self._processor.vocab_size()))

    @classmethod
    def fit(cls, text: str, vocabulary_size: int, model_type: str = "unigram") -> Pieces:
        """Learn pieces from a text.

        Args:
            vocabulary_size: pieces, of which 256 are the bytes, one the unknown and one the line's end.
            model_type: "unigram" or "bpe".
        Raises:
            ValueError: the text has fewer pieces, or more characters than that.
        """
        from sentencepiece import SentencePieceTrainer

        if model_type not in ("unigram", "bpe"):
            raise ValueError(f"The 'model_type' parameter must be one of 'unigram', 'bpe'. Got {model_type!r} instead.")
        written = io.BytesIO()
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(text.split("\n")),
                model_writer=written,
                vocab_size=vocabulary_size,
                model_type=model_type,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                allow_whitespace_only_pieces=True,
                user_defined_symbols=["\n"],
                byte_fallback=True,
                character_coverage=1.0,
                unk_id=UNKNOWN,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=THREADS,
                max_sentence_length=LONGEST_LINE,
                minloglevel=5,
            )
        except (RuntimeError, OSError) as error:
            have, need = "The text has", "The text's characters and the 256 bytes need"
            raise ValueError(remedy(str(error), vocabulary_size, have, need)) from error
        return cls(written.getvalue())

    def encode(self, text: str) -> np.ndarray:
        return np.array(self._processor.encode(text.encode("utf-8", "replace").decode()), np.int32)

    def unknown(self, text: str) -> list[str]:
        return []

    def files(self) -> dict[str, bytes]:
        return {FILE: self.model}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Pieces:
        return cls(files[FILE])

    def _text_of(self, token: int) -> bytes:
        piece = self._processor.id_to_piece(token)
        if self._processor.is_unknown(token):
            return REPLACEMENT
        if self._processor.is_byte(token):  # "<0xE9>"
            return bytes([int(piece[3:5], 16)])
        return piece.replace(SPACE, " ").encode()


def remedy(said: str, size: int | None, have: str, need: str) -> str:
    """Return one line for sentencepiece's complaint about a vocabulary that is too large or too small.

    Args:
        size: pieces that the caller wanted.
        have, need: how the line begins if they are too many, or too few.
    """
    limit = re.search(r"value <= (\d+)", said)
    if limit is not None:
        return f"{have} {limit[1]} pieces at most: lower 'vocabulary_size'. Got {size}."
    needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", said)
    if needed is not None:
        return f"{need} {needed[1]} pieces: raise 'vocabulary_size'. Got {size}."
    return f"sentencepiece learned no pieces with 'vocabulary_size' {size} ({' '.join(said.split())})."

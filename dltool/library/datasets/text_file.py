"""A text file as a language model reads it."""

from __future__ import annotations

import os
from pathlib import Path

from dltool.data import arguments
from dltool.data.formats import locate, text_decoding
from dltool.data.texts import TextDataset


class TextFile(TextDataset):
    """A file of running text, UTF-8, plain or gzipped (.gz); each token is predicted from those before it.

    Its last tenth is the test split (`data.test_split`), what lies before it the validation split
    (`data.validation_split`); nothing is shuffled across. The vocabulary is that of the training split; what else
    occurs is the unknown token 0. Line ends become "\\n".

    Args:
        path: the file; a relative path that does not exist is looked for below $DLTOOL_DATA.
        tokens: "characters", "words" (each with the space before it), or pieces of sentencepiece learned by "bpe" or
            "unigram". Runs and recipes of before say "pieces" and a `model_type`.
        sequence_length: tokens a window, over which gradients flow back (truncated backpropagation through time).
            Defaults to 128.
        vocabulary_size: tokens, the unknown one included: of words the most frequent (default: all), of pieces
            required.
        model_type: of pieces: "unigram" or "bpe". Defaults to "unigram".
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, with file and line, if the text is no UTF-8, or if a
            part of it is shorter than a window.
    Limits: the text is held in memory; splits are cut between characters, so that a word may be cut in two there.
    Reference: lecture slides 134 (backpropagation through time) and 138 (char-RNN; Karpathy, 2015).
    """

    def __init__(
        self,
        path: str | os.PathLike,
        tokens: str = "characters",
        sequence_length: int = 128,
        vocabulary_size: int | None = None,
        model_type: str | None = None,
    ):
        placed = locate.placed(path) if isinstance(path, str | os.PathLike) else path
        self.path = arguments.existing("TextFile", "path", placed, "file")
        super().__init__(tokens, sequence_length, vocabulary_size, model_type)

    @property
    def source(self) -> str:
        return str(self.path)

    def files(self) -> list[Path]:
        return [self.path]

    def load(self) -> str:
        return text_decoding.read(self.path)

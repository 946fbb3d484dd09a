"""The English of Python's own documentation: the text that needs no file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dltool.data.texts import TextDataset


class PythonDocs(TextDataset):
    """The topics of Python's `help()`, about half a million characters of English with code, in their order by name.

    Its last tenth is the test split (`data.test_split`), the part before it the validation split
    (`data.validation_split`). The vocabulary is that of the training split; other words are the unknown token 0.

    Args:
        tokens: "characters", "words" (each with the space before it), or pieces of sentencepiece learned by "bpe" or
            "unigram". Runs and recipes of before say "pieces" and a `model_type`.
        sequence_length: tokens of a window, over which gradients flow back (truncated backpropagation through time).
            Defaults to 128.
        vocabulary_size: tokens, the unknown one included: for words the most frequent (default: all), for pieces
            required.
        model_type: for pieces: "unigram" or "bpe". Defaults to "unigram".
    Raises:
        ValueError: if an argument is out of its range; later, if this Python comes without its topics.
    Limits: the text differs a little from one version of Python to another, and so do figures on it; some topics
        repeat each other's sentences, so that it is easier than its size suggests.
    Reference: Python Software Foundation, The Python Language Reference, as in the module `pydoc_data.topics`.
    """

    @property
    def source(self) -> str:
        return "pydoc_data.topics"

    def files(self) -> list[Path] | None:
        found = importlib.util.find_spec(self.source)
        return None if found is None or found.origin is None else [Path(found.origin)]

    def load(self) -> str:
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise ValueError(f"{self.source}: this Python comes without it. Install Python's documentation.") from error
        return "\n\n".join(topics[name] for name in sorted(topics))

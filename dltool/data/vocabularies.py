"""Vocabularies of sentences to translate, learned by sentencepiece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dltool.data.tokenizers._sentencepiece import SPACE, learn, open_model

PADDING, UNKNOWN, BEGIN, END = range(4)  # tokens that every vocabulary begins with
SHARED, SOURCE, TARGET = "shared.model", "source.model", "target.model"  # files of a run's vocabulary/


class Vocabulary:
    """Words, characters or subword pieces learned from sentences.

    Args:
        model: sentencepiece's own model file.
    Limits: sentencepiece normalises text (its rule nmt_nfkc): white space becomes single spaces, compatibility
        characters such as ligatures become plain ones. Characters that no piece covers are one unknown token.
    Reference: as `tokenizers._sentencepiece.learn`.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = open_model(model)

    @classmethod
    def learn(cls, sentences: Iterable[str], kind: str, size: int | None, languages: Sequence[str] = ()) -> Vocabulary:
        """Learn the vocabulary of sentences; equal sentences in equal order give an equal vocabulary.

        Args:
            kind: "word", "char", "bpe" or "unigram".
            size: tokens, the four of `PADDING` to `END` and those of `languages` included; None, for words and
                characters: all that occur.
            languages: each has a token of its own, which no sentence can hold.
        Raises:
            ValueError: the sentences have fewer pieces, or more characters than that.
        """
        model = learn(
            sentences,
            size,
            kind,
            1,
            "the training sentences have",
            "the characters of the training sentences need",
            use_all_vocab=size is None,
            hard_vocab_limit=kind == "bpe",
            control_symbols=[_symbol(language) for language in languages],
            pad_id=PADDING,
            unk_id=UNKNOWN,
            bos_id=BEGIN,
            eos_id=END,
        )
        return cls(model)

    @property
    def size(self) -> int:
        """Tokens, those of `PADDING` to `END` and of languages included."""
        return int(self._processor.vocab_size())

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each sentence, without a beginning and an end."""
        return self._processor.encode(list(sentences), num_threads=1)

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the sentences of tokens; padding, beginning and end give no text.

        The unknown token reads " \u2047 ".
        """
        return self._processor.decode([[int(token) for token in one] for one in tokens], num_threads=1)

    def language(self, language: str) -> int:
        """Return the token of a language."""
        token = self._processor.piece_to_id(_symbol(language))
        if token == UNKNOWN:
            raise ValueError(f"the vocabulary has no language '{language}'")
        return int(token)

    def words(self, sentences: Sequence[str]) -> list[list[str]]:
        """Return the words of each sentence after normalisation, each with the space before it, U+2581."""
        pieces = self._processor.encode(list(sentences), out_type=str, num_threads=1)
        return [[SPACE + word for word in "".join(one).split(SPACE)[1:]] for one in pieces]

    def merges(self) -> dict[str, tuple[int, float]]:
        """Piece -> its token, and its score: of pieces learned by "bpe" the earlier the higher."""
        processor = self._processor
        return {
            processor.id_to_piece(token): (token, processor.get_score(token))
            for token in range(END + 1, self.size)
            if not processor.is_control(token)
        }

    def surfaces(self, sentence: str) -> list[str]:
        """Return the pieces of a sentence, unknown ones as it writes them."""
        return self._processor.encode(sentence, out_type=str)

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return tokens in sentencepiece's spelling, a space as U+2581."""
        return self._processor.id_to_piece([int(token) for token in tokens])


class Vocabularies:
    """The vocabularies that sentences are read and written in.

    Args:
        source: of the sentences to translate.
        target: of the translations; the same object where both share one.
    """

    def __init__(self, source: Vocabulary, target: Vocabulary) -> None:
        self.source, self.target = source, target

    def encoded_sources(
        self, sentences: Sequence[str], language: str | None, max_length: int
    ) -> tuple[list[list[int]], list[int]]:
        """Return the encoder's tokens: [language], those of the sentence, end.

        Return the numbers of shortened sentences too.

        Args:
            language: to translate into, in a model of several; None: there is one only.
            max_length: tokens of a sentence, those of language and end included.
        """
        begin = [] if language is None else [self.source.language(language)]
        room = max_length - len(begin) - 1
        encoded = self.source.encode(sentences)
        cut = [number for number, tokens in enumerate(encoded) if len(tokens) > room]
        return [[*begin, *tokens[:room], END] for tokens in encoded], cut

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by name; `load` makes the vocabularies from them."""
        if self.source is self.target:
            return {SHARED: self.source.model}
        return {SOURCE: self.source.model, TARGET: self.target.model}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Vocabularies:
        """Return the vocabularies that `files` described.

        Raises:
            ValueError, KeyError: the files are damaged, or one is missing.
        """
        if SHARED in files:
            shared = _loaded(files, SHARED)
            return cls(shared, shared)
        return cls(_loaded(files, SOURCE), _loaded(files, TARGET))


def _loaded(files: Mapping[str, bytes], name: str) -> Vocabulary:
    try:
        return Vocabulary(files[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _symbol(language: str) -> str:
    return f"<2{language}>"  # as Johnson et al., 2017, write it

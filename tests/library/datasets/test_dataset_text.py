"""Texts are cut in order, read in the training part's vocabulary, and what is wrong with a file is one line."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.data.splits import split
from dltool.data.tokenizers.base import UNKNOWN
from dltool.data.tokenizers.characters import Characters
from dltool.library.datasets.python_docs import PythonDocs
from dltool.library.datasets.text_file import TextFile

ALPHABET = "abcdefghij" * 7 + "k" * 10 + "xyz" * 6 + "!!"  # 100 characters


def text_file(folder: Path, text: str = ALPHABET, **options: Any) -> TextFile:
    (folder / "text.txt").write_text(text)
    return TextFile(folder / "text.txt", **{"sequence_length": 4, **options})


def test_the_end_is_the_test_part_and_what_lies_before_it_the_validation_part(tmp_path: Path) -> None:
    cut = text_file(tmp_path).divided(0.1, 0.2)  # 20 of 100, then ceil(0.1 * 80) = 8
    read = {part: cut.vocabulary.decode(cut.encoded(part)) for part in cut.sizes()}
    assert cut.facts()["train_characters"] == 72
    assert read["train"] == ALPHABET[:72]
    assert len(cut.encoded("validation")) == 8
    assert len(cut.encoded("test")) == 20
    assert cut.sizes() == {"train": 71 // 4, "validation": 7 // 4, "test": 19 // 4}


def test_a_tenth_is_held_out_unless_said_otherwise(tmp_path: Path) -> None:
    assert len(text_file(tmp_path).divided().encoded("test")) == 10
    assert {name: one.size for name, one in split(text_file(tmp_path)).items()} == {"train": 22, "test": 2}
    assert list(text_file(tmp_path).divided(0.0, 0.0).sizes()) == ["train"]


def test_what_only_other_parts_have_is_unknown(tmp_path: Path) -> None:
    cut = text_file(tmp_path).divided(0.1, 0.2)
    assert cut.vocabulary.size == 1 + 11  # a to k
    assert cut.facts()["num_classes"] == cut.facts()["vocabulary_size"] == 12
    assert set(cut.encoded("test").tolist()) == {UNKNOWN}
    assert UNKNOWN not in cut.encoded("train")


def test_targets_are_the_inputs_a_token_later(tmp_path: Path) -> None:
    cut = text_file(tmp_path).divided(0.0, 0.2)
    examples = cut.read("train")
    tokens = cut.encoded("train")
    assert examples.x.shape == (79 // 4, 4)
    np.testing.assert_array_equal(examples.x.reshape(-1), tokens[:76])
    np.testing.assert_array_equal(examples.y.reshape(-1), tokens[1:77])


def test_a_given_vocabulary_is_the_one_that_is_used(tmp_path: Path) -> None:
    whole = text_file(tmp_path).with_vocabulary(Characters("ab"))
    assert whole.encoded("train")[:4].tolist() == [1, 2, UNKNOWN, UNKNOWN]
    assert whole.divided(0.1, 0.2).encoded("train")[:2].tolist() == [1, 2]
    with pytest.raises(ValueError, match="is to be read in words, the vocabulary is of characters"):
        text_file(tmp_path, tokens="words").with_vocabulary(Characters("ab"))


def test_the_fact_that_tells_texts_apart_changes_with_the_text(tmp_path: Path) -> None:
    first = text_file(tmp_path).facts()["text_sha256"]
    assert text_file(tmp_path).facts()["text_sha256"] == first
    assert text_file(tmp_path, f"{ALPHABET[1:]}a").facts()["text_sha256"] != first


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_gzipped_text_in_which_only_line_feeds_end_a_line(tmp_path: Path, tokens: str) -> None:
    odd = "three\x0bfour\x0cfive\x85six\u2028seven"
    (tmp_path / "a.txt.GZ").write_bytes(gzip.compress(f"\ufeffone\r\ntwo\r{odd}\r\r\n".encode()))
    whole = TextFile(tmp_path / "a.txt.GZ", tokens=tokens, sequence_length=3)
    assert whole.vocabulary.decode(whole.encoded("train")) == f"one\ntwo\r{odd}\r\n"


def test_a_relative_path_is_looked_for_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "plays").mkdir(parents=True)
    (tmp_path / "data" / "plays" / "a.txt").write_text(ALPHABET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"plays/a\.txt"):
        TextFile("plays/a.txt")
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path / "data"))
    assert TextFile("plays/a.txt").path == tmp_path / "data" / "plays" / "a.txt"
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "a.txt").write_text("nearer")
    assert TextFile("plays/a.txt").load() == "nearer"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.txt", b"fine\nfine\ncaf\xe9\n", r"a\.txt:3: is no UTF-8 \(byte 0xE9\)"),
        ("a.txt", b"\xef\xbb\xbfone\ntwo\xff", r"a\.txt:2: is no UTF-8 \(byte 0xFF\)"),
        ("a.txt", b"", r"a\.txt: is empty"),
        ("a.txt", b"abcd", r"a\.txt: has 4 characters, fewer than the 5 of one window and the next"),
        ("a.txt.gz", b"abcd", r"a\.txt\.gz: is no whole gzip file"),
        ("a.txt.gz", gzip.compress(b"abcdef", mtime=0)[:-4], r"a\.txt\.gz: is no whole gzip file"),
    ],
)
def test_broken_texts_are_one_line(tmp_path: Path, name: str, content: bytes, line: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=line) as caught:
        TextFile(tmp_path / name, sequence_length=4).sizes()
    assert "\n" not in str(caught.value)


def test_a_part_that_is_shorter_than_a_window_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the validation part has 3 characters, fewer than the 5"):
        text_file(tmp_path).divided(0.03, 0.2).sizes()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"tokens": "letters"}, "must be one of 'characters', 'words', 'bpe', 'unigram'"),
        ({"tokens": "bpe"}, "tokens 'bpe' need 'vocabulary_size'"),
        ({"tokens": "bpe", "vocabulary_size": 300, "model_type": "unigram"}, "'model_type: unigram' differ"),
        ({"sequence_length": 0}, "'sequence_length'"),
        ({"tokens": "pieces"}, "tokens 'pieces' need 'vocabulary_size'"),
        ({"vocabulary_size": 10}, "'vocabulary_size' has no meaning for tokens 'characters'"),
        ({"tokens": "words", "model_type": "bpe"}, "'model_type' has no meaning for tokens 'words'"),
        ({"tokens": "pieces", "vocabulary_size": 300, "model_type": "wordpiece"}, "'model_type'"),
    ],
)
def test_arguments_that_cannot_work_are_one_line(tmp_path: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        text_file(tmp_path, **options)


def test_pieces_of_python_docs_cover_every_part() -> None:
    cut = PythonDocs(tokens="pieces", vocabulary_size=400, sequence_length=32, model_type="bpe").divided(0.05)
    assert cut.vocabulary.size == 400
    assert UNKNOWN not in cut.encoded("test")
    assert cut.vocabulary.decode(cut.encoded("test")) == cut.load()[-math.ceil(0.1 * len(cut.load())) :]


def test_python_docs_need_no_file() -> None:
    facts = PythonDocs().divided(0.05).facts()
    assert facts["train_characters"] > 200_000
    assert 60 < facts["vocabulary_size"] < 200


@pytest.mark.parametrize(
    ("word", "old"),
    [
        ({"tokens": "bpe"}, {"tokens": "pieces", "model_type": "bpe"}),
        ({"tokens": "unigram"}, {"tokens": "pieces"}),
        ({"tokens": "words"}, {"tokens": "word"}),
        ({"tokens": "characters"}, {"tokens": "char"}),
    ],
)
def test_older_words_for_tokens_mean_the_same(word: dict[str, Any], old: dict[str, Any]) -> None:
    size = {"vocabulary_size": 400} if word["tokens"] in ("bpe", "unigram") else {}
    now, before = (PythonDocs(**one, **size).vocabulary for one in (word, old))
    assert now.files() == before.files()

"""Text becomes tokens and the same text again; what a vocabulary lacks is the unknown token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltool.data.tokenizers.base import UNKNOWN, kinds
from dltool.data.tokenizers.base import find as find_kind
from dltool.data.tokenizers.characters import Characters
from dltool.data.tokenizers.pieces import Pieces
from dltool.data.tokenizers.words import Words

VERSE = "To be, or not to be: that is the question.\n  Whether 'tis nobler in the mind,\n\nor not to be.\n"


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return Pieces.fit(VERSE * 3, vocabulary_size=300, model_type="bpe")


def test_every_kind_is_a_file_of_its_name() -> None:
    assert kinds() == ["characters", "pieces", "words"]
    assert all(find_kind(kind).kind == kind for kind in kinds())


def test_characters_are_numbered_from_one_in_sorted_order() -> None:
    found = Characters.fit("cabba")
    assert found.size == 4
    assert found.encode("abcz").tolist() == [1, 2, 3, UNKNOWN]
    assert found.decode([3, 1, 2]) == "cab"
    assert found.unknown("xaybx") == ["x", "y"]


def test_a_word_takes_the_space_before_it_and_marks_stand_alone() -> None:
    found = Words.fit("to be,\nor  don't be")
    parts = ["to", " be", ",", "\n", "or", " ", " don't", " be"]
    assert [found.decode([token]) for token in found.encode("to be,\nor  don't be")] == parts


def test_the_most_frequent_words_stay_and_the_others_are_unknown() -> None:
    found = Words.fit("a b b c c c d", vocabulary_size=3)  # the unknown one, " c" (3 times), " b" (twice)
    assert found.size == 3
    assert found.encode("a b c d").tolist() == [UNKNOWN, 2, 1, UNKNOWN]
    assert found.unknown("a b c d") == ["a", " d"]


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_tokens_put_together_are_the_text(text: str) -> None:
    for found in (Characters.fit(text), Words.fit(text)):
        assert found.decode(found.encode(text)) == text
        assert UNKNOWN not in found.encode(text)


@pytest.mark.parametrize("text", [VERSE, "", "\n", "  two  spaces ", "caf\u00e9 \U0001f600\n\ttab", "\u65e5\u672c"])
def test_pieces_put_together_are_any_text(pieces: Pieces, text: str) -> None:
    assert pieces.decode(pieces.encode(text)) == text
    assert UNKNOWN not in pieces.encode(text)


def test_tokens_are_counted_without_a_vocabulary_where_that_can_be(pieces: Pieces) -> None:
    assert Characters.length(VERSE) == len(Characters.fit("ab").encode(VERSE))
    assert Words.length(VERSE) == len(Words.fit("to be").encode(VERSE)) < len(VERSE)
    assert pieces.length(VERSE) is None


def test_pieces_are_fewer_than_characters(pieces: Pieces) -> None:
    assert pieces.size == 300
    assert len(pieces.encode(VERSE)) < 0.7 * len(VERSE)


def test_a_character_whose_bytes_come_one_by_one_waits_for_the_last(pieces: Pieces) -> None:
    tokens = pieces.encode("a\u65e5b")
    decoder = pieces.decoder()
    shown = [decoder.add([token]) for token in tokens]
    assert "".join(shown) == "a\u65e5b"
    assert "\ufffd" not in "".join(shown)
    half = pieces.decoder()
    assert half.add(pieces.encode("\u65e5")[:2]) == ""
    assert half.add([], last=True) == "\ufffd"


def test_files_give_the_same_tokenizer_again(pieces: Pieces) -> None:
    for found in (Characters.fit(VERSE), Words.fit(VERSE), pieces):
        again = type(found).load(found.files())
        assert again.encode(f"{VERSE}~").tolist() == found.encode(f"{VERSE}~").tolist()
        assert again.size == found.size


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("characters", {"characters.json": b'"ba"'}),
        ("words", {"words.json": b"{}"}),
        ("pieces", {"pieces.model": b"x"}),
    ],
)
def test_damaged_files_are_an_error(kind: str, files: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="holds no|is no"):
        find_kind(kind).load(files)


@pytest.mark.parametrize(("size", "line"), [(100, "raise 'vocabulary_size'"), (90000, "lower 'vocabulary_size'")])
def test_a_vocabulary_that_the_text_cannot_fill_is_one_line(size: int, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        Pieces.fit(VERSE, vocabulary_size=size)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_unknown_not_a_crash() -> None:
    assert Characters.fit("abc").unknown("a\udce9") == ["\udce9"]
    assert Characters.fit("abc").encode("a\udce9").tolist() == [1, UNKNOWN]

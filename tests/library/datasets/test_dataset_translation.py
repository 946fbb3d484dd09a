"""Sentences and their translations: files, splits, vocabularies, tokens."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dltool.data.formats import text_decoding
from dltool.data.vocabularies import BEGIN, END, UNKNOWN, Vocabularies
from dltool.decoding import line_stream
from dltool.library.datasets.number_words import NumberWords
from dltool.library.datasets.parallel_text import ParallelText

EN = ["a cat", "a dog", "the cat sleeps", "the dog sleeps", "a bird sings"]
DE = ["eine Katze", "ein Hund", "die Katze schläft", "der Hund schläft", "ein Vogel singt"]


def write(folder: Path, name: str, lines: list[str], end: str = "\n") -> Path:
    path = folder / name
    data = ("\n".join(lines) + end).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def aligned(folder: Path, en: list[str] = EN, de: list[str] = DE, suffix: str = "") -> str:
    write(folder, f"train.en{suffix}", en)
    write(folder, f"train.de{suffix}", de)
    return str(folder / f"train.{{language}}{suffix}")


def words(path: str, *directions: str, **arguments: object) -> ParallelText:
    return ParallelText(path, list(directions or ("en-de",)), tokens="word", **arguments)


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_aligned_files_give_a_pair_a_line(tmp_path: Path, suffix: str) -> None:
    dataset = words(aligned(tmp_path, suffix=suffix))
    assert dataset.sizes() == {"train": 5}
    assert dataset.lines("train") == {"en": EN, "de": DE}


def test_a_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    path = aligned(tmp_path)
    write(tmp_path, "train.de", DE, end="")
    assert words(path).sizes() == {"train": 5}


def test_a_relative_path_is_also_looked_for_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "x").mkdir(parents=True)
    aligned(tmp_path / "data" / "x")
    monkeypatch.setenv("DLTOOL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert words("x/train.{language}").sizes() == {"train": 5}


def test_only_a_line_feed_ends_a_line_as_in_translate(tmp_path: Path) -> None:
    odd = ["a \x0bcat", "a\rdog", "the\x0ccat\x85sleeps", "the dog\u2028sleeps", "a bird sings"]
    for end in ("\n", ""):
        path = aligned(tmp_path, odd)
        write(tmp_path, "train.en", [line + "\r" for line in odd[:2]] + odd[2:], end)  # two lines end in CR LF
        found = words(path).lines("train")
        assert found["en"] == odd and len(found["de"]) == 5
        streamed = line_stream.windows((tmp_path / "train.en").open("rb"), "in", 9)
        assert [line.text for window in streamed for line in window] == found["en"]
        assert text_decoding.read(tmp_path / "train.en").removesuffix("\n").split("\n") == found["en"]  # --reference
    write(tmp_path, "both.txt", [f"{en}\t{de}" for en, de in zip(odd, DE, strict=True)])
    assert words(str(tmp_path / "both.txt")).lines("train") == {"en": odd, "de": DE}
    assert len(words(str(tmp_path / "both.txt")).read("train")) == 5


@pytest.mark.parametrize("archive", [False, True])
def test_tab_separated_columns_are_languages_and_further_ones_are_left_alone(tmp_path: Path, archive: bool) -> None:
    rows = [f"{en}\t{de}\tby someone" for en, de in zip(EN, DE, strict=True)]
    path = write(tmp_path, "deu.txt", rows)
    if archive:
        with zipfile.ZipFile(tmp_path / "deu-eng.zip", "w") as file:
            file.write(path, "deu.txt")
            file.writestr("_about.txt", "terms")
        path = tmp_path / "deu-eng.zip"
    assert words(str(path)).lines("train") == {"en": EN, "de": DE}
    other_way = words(str(path), "de-en", columns=["en", "de"])
    assert other_way.lines("train") == {"de": DE, "en": EN}


def test_what_is_wrong_with_files_is_told_with_file_and_line(tmp_path: Path) -> None:
    def fails(match: str, path: str) -> None:
        with pytest.raises(ValueError, match=match) as caught:
            words(path).read("train")
        assert "\n" not in str(caught.value)

    fails(r"train\.de:5: there is no such line, but train\.en has 5 lines", aligned(tmp_path, EN, DE[:4]))
    fails(r"train\.de:2: is empty", aligned(tmp_path, EN, [DE[0], " ", *DE[2:]]))
    path = aligned(tmp_path)
    (tmp_path / "train.de").write_bytes(b"eine Katze\nein H\xfcnd\n")
    fails(r"train\.de:2: is no UTF-8 \(byte 0xFC\)", path)
    rows = [f"{en}\t{de}" for en, de in zip(EN, DE, strict=True)]
    fails(r"a\.tsv:3: has 1 column, needs 2 \(en, de\)", str(write(tmp_path, "a.tsv", [*rows[:2], "alone"])))
    fails(r"a\.tsv:1: the column of 'de' is empty", str(write(tmp_path, "a.tsv", ["a cat\t "])))
    with pytest.raises(FileNotFoundError, match=r"train\.fr"):
        words(path, "en-fr")
    with pytest.raises(ValueError, match="'columns' has no 'fr'"):
        words(str(tmp_path / "a.tsv"), "en-fr", columns=["en", "de"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"directions": ["en"]}, "two languages each"),
        ({"directions": ["en-en"]}, "two languages each"),
        ({"directions": []}, "a list such as"),
        ({"directions": ["en-fr"], "zero_shot": ["en-fr"]}, "both 'directions' and 'zero_shot'"),
        ({"directions": ["en-fr"], "zero_shot": ["es-fr"]}, "a language that 'directions' never does"),
        ({"directions": ["en-xx"]}, "num2words has no language 'xx'"),
        ({"largest": 100, "examples": 90, "held_out_examples": 10}, "raise 'largest'"),
        ({"held_out": [5, 2]}, r"\[first, last\] up to 999999"),
        ({"tokens": "syllable"}, "one of 'characters', 'words', 'bpe', 'unigram'"),
    ],
)
def test_arguments_that_can_never_work_are_errors_at_once(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        NumberWords(**arguments)


# -- splits ------------------------------------------------------------------------------------------------


def tangled(folder: Path) -> str:
    """200 pairs of 60 English and 70 Spanish sentences, so that many share one or the other."""
    rng = np.random.default_rng(0)
    rows = [f"english {rng.integers(60)}\tspanish {rng.integers(70)}" for _ in range(200)]
    return str(write(folder, "a.tsv", rows))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_source_sentence_is_in_two_splits(tmp_path: Path, seed: int) -> None:
    dataset = words(tangled(tmp_path), "en-es").divided(0.1, 0.2, seed)
    parts = {part: dataset.lines(part) for part in ("train", "validation", "test")}
    sources = [set(lines["en"]) for lines in parts.values()]
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]
    sizes = dataset.sizes()
    assert sum(sizes.values()) == 200
    assert sizes["test"] == pytest.approx(40, abs=4)
    assert sizes["validation"] == pytest.approx(16, abs=4)


def test_of_two_directions_neither_has_a_source_sentence_in_two_splits(tmp_path: Path) -> None:
    rows = [f"english {i // 2}\tspanish {(i + 1) // 2}" for i in range(0, 200, 2)] + ["english 0\tspanish 99"]
    path = str(write(tmp_path, "a.tsv", rows))
    dataset = words(path, "en-es", "es-en").divided(0.0, 0.3, 0)
    train, test = dataset.lines("train"), dataset.lines("test")
    assert not set(train["en"]) & set(test["en"]) and not set(train["es"]) & set(test["es"])
    assert dataset.sizes() == {"train": 2 * len(train["en"]), "test": 2 * len(test["en"])}


def test_splits_are_a_function_of_the_seed(tmp_path: Path) -> None:
    path = tangled(tmp_path)
    lines = [words(path, "en-es").divided(0.0, 0.2, seed).lines("test") for seed in (3, 3, 4)]
    assert lines[0] == lines[1] != lines[2]


def test_a_part_of_its_own_file_is_not_drawn_again(tmp_path: Path) -> None:
    path = aligned(tmp_path)
    with pytest.raises(ValueError, match="stores a test part of its own: remove 'test_split'"):
        words(path, test_path=path).divided(test_split=0.2)
    assert words(path, test_path=path).divided(0.0).sizes() == {"train": 5, "test": 5}


# -- vocabularies and tokens -------------------------------------------------------------------------------


def test_the_vocabulary_is_that_of_the_training_split_alone(tmp_path: Path) -> None:
    dataset = words(aligned(tmp_path), test_path=aligned_test(tmp_path))
    tokens = dataset.read("test").source[0]
    assert tokens.tolist()[-1] == END
    assert UNKNOWN in tokens.tolist()  # "zebra" is in the test file only
    assert UNKNOWN not in dataset.read("train").source.tokens


def aligned_test(folder: Path) -> str:
    write(folder, "test.en", ["a zebra sleeps"])
    write(folder, "test.de", ["ein Zebra schläft"])
    return str(folder / "test.{language}")


@pytest.mark.parametrize(("tokens", "size"), [("word", None), ("char", None), ("bpe", 40), ("unigram", 40)])
@pytest.mark.parametrize("shared", [True, False])
def test_tokens_read_as_the_sentences_again_also_after_keeping(
    tmp_path: Path, tokens: str, size: int | None, shared: bool
) -> None:
    path = aligned(tmp_path)
    make = lambda: ParallelText(path, ["en-de"], tokens=tokens, vocabulary_size=size, shared_vocabulary=shared)  # noqa: E731
    first, again = make(), make()
    files = first.vocabulary.files()
    assert files == again.vocabulary.files()  # learned again, the same bytes
    assert set(files) == ({"shared.model"} if shared else {"source.model", "target.model"})
    kept = Vocabularies.load(files)
    pairs = again.with_vocabulary(kept).read("train")
    for index in range(5):
        assert kept.source.decode([pairs.source[index]]) == [EN[index]]
        assert kept.target.decode([pairs.target[index]]) == [DE[index]]
        assert pairs.target[index][0] == BEGIN and pairs.target[index][-1] == END


def test_a_vocabulary_that_cannot_be_learned_is_one_line(tmp_path: Path) -> None:
    dataset = ParallelText(aligned(tmp_path), ["en-de"], vocabulary_size=5000)
    with pytest.raises(ValueError, match=r"train\.en.*pieces at most: lower 'vocabulary_size'. Got 5000."):
        dataset.facts()
    few = ParallelText(aligned(tmp_path), ["en-de"], vocabulary_size=8)
    with pytest.raises(ValueError, match=r"raise 'vocabulary_size'. Got 8."):
        few.facts()


def test_a_damaged_vocabulary_is_named() -> None:
    with pytest.raises(ValueError, match=r"shared\.model is no model of sentencepiece"):
        Vocabularies.load({"shared.model": b"nonsense"})
    with pytest.raises(KeyError, match=r"source\.model"):
        Vocabularies.load({})


def test_long_sentences_are_cut_to_the_longest_allowed(tmp_path: Path) -> None:
    pairs = words(aligned(tmp_path), max_length=3).read("train")
    assert pairs.source.lengths.max() == 3 and pairs.target.lengths.max() <= 4
    assert all(pairs.source[i][-1] == END and pairs.target[i][-1] == END for i in range(5))


# -- several directions ------------------------------------------------------------------------------------


def test_a_source_sentence_begins_with_the_language_to_write() -> None:
    dataset = NumberWords(["en-fr", "fr-en"], examples=20, held_out_examples=5, seed=1)
    pairs, vocabulary = dataset.read("train"), dataset.vocabulary.source
    assert len(pairs) == 40 == dataset.sizes()["train"]
    first = [int(pairs.source[i][0]) for i in range(40)]
    assert first == [vocabulary.language("fr")] * 20 + [vocabulary.language("en")] * 20
    assert vocabulary.encode(["<2fr>"])[0][-1] != vocabulary.language("fr")  # no sentence can hold it
    single = NumberWords(["en-fr"], examples=20, held_out_examples=5)
    with pytest.raises(ValueError, match="no language 'fr'"):
        single.vocabulary.source.language("fr")


def test_zero_shot_directions_can_be_read_but_are_in_no_part() -> None:
    dataset = NumberWords(["en-fr", "es-en"], ["es-fr"], examples=20, held_out_examples=5, tokens="char")
    assert dataset.sizes() == {"train": 40, "validation": 10, "test": 10}
    pairs = dataset.pairs("test", "es-fr")
    vocabularies, lines = dataset.vocabulary, dataset.lines("test")
    assert int(pairs.source[0][0]) == vocabularies.source.language("fr")
    assert vocabularies.source.decode([pairs.source[0]]) == [lines["es"][0]]
    assert vocabularies.target.decode([pairs.target[0]]) == [lines["fr"][0]]


def test_facts_count_what_is_read_and_predicted() -> None:
    dataset = NumberWords(["en-fr"], examples=20, held_out_examples=5)
    facts, pairs = dataset.facts(), dataset.read("test")
    assert facts["source_vocabulary_size"] == facts["target_vocabulary_size"] == dataset.vocabulary.source.size
    assert facts["test_source_tokens"] == sum(len(pairs.source[i]) for i in range(5))
    assert facts["test_target_tokens"] == sum(len(pairs.target[i]) - 1 for i in range(5))


# -- numbers -----------------------------------------------------------------------------------------------


def test_numbers_are_words_of_the_languages() -> None:
    lines = NumberWords(["en-fr"], largest=99, examples=80, held_out_examples=10).lines("train")
    found = dict(zip(lines["en"], lines["fr"], strict=True))
    assert len(found) == 80
    known = {"seventy-one": "soixante et onze", "eighty": "quatre-vingts", "ninety-nine": "quatre-vingt-dix-neuf"}
    assert sum(english in found for english in known) >= 2  # of 80 of 100 numbers
    for english, french in known.items():
        assert found.get(english, french) == french


@pytest.mark.parametrize("held_out", [None, [300, 399]])
def test_held_out_numbers_are_never_trained_on(held_out: list[int] | None) -> None:
    dataset = NumberWords(["en-fr"], largest=999, examples=700, held_out=held_out, held_out_examples=100)
    parts = [dataset.lines(part)["en"] for part in ("train", "validation", "test")]
    assert list(map(len, parts)) == [700, 100, 100]
    assert len(set(parts[0]) | set(parts[1]) | set(parts[2])) == 900
    inside = [text.startswith("three hundred") for text in parts[0] + parts[1]]
    if held_out is not None:
        assert not any(inside)
        assert all(text.startswith("three hundred") for text in parts[2])


@pytest.mark.parametrize(("word", "old"), [("words", "word"), ("characters", "char")])
def test_older_words_for_tokens_mean_the_same(word: str, old: str) -> None:
    now, before = (NumberWords(["en-fr"], tokens=one, examples=20, held_out_examples=5) for one in (word, old))
    assert now.vocabulary.files() == before.vocabulary.files()
    assert now.facts()["tokens"] == before.facts()["tokens"] == old  # as runs of before have it

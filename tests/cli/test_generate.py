"""Training, evaluating, resuming and generating with language models, each figure beside a plain NumPy one."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dltool.recipe import build, reading
from dltool.runs import resume
from dltool.runs.directory import RunDirectory
from dltool.runs.keeper import Keeper
from dltool.runs.opened import OpenedRun
from dltool.tasks import _scoring
from dltool.training.fusion import fused_recurrence
from tests.command_line import Done, run
from tests.command_line import trained as train
from tests.language_model import RECIPE, Twin, text, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny recipe, its text and its trained run."""
    folder = tmp_path_factory.mktemp("language")
    recipe = write(folder)
    train(recipe, "--out", folder / "run")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    return folder / "run"


@pytest.fixture(scope="module")
def twin(trained: Path) -> Twin:
    return Twin(RunDirectory(trained).load_model())


@pytest.fixture(scope="module")
def vocabulary(trained: Path) -> str:
    return json.loads((trained / "vocabulary" / "characters.json").read_text())


def encode(vocabulary: str, given: str) -> np.ndarray:
    return np.array([1 + vocabulary.index(character) for character in given])


def parts() -> tuple[str, str, str]:
    """Training, validation and test text by the fractions of the recipe."""
    whole = text()
    test = math.ceil(0.1 * len(whole))
    validation = math.ceil(0.1 * (len(whole) - test))
    return whole[: -test - validation], whole[-test - validation : -test], whole[-test:]


def rows_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    done = run(capsys, *arguments, "--format", "json")
    assert done.status == 0, done.err
    return next(iter(json.loads(done.out).values()))


# -- figures ---------------------------------------------------------------------------------------------


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers of each model are fused from now on."""
    fuse, fused = fused_recurrence.fuse, []
    monkeypatch.setattr(fused_recurrence, "fuse", lambda model: fused.append(fuse(model)))
    return fused


GPU = bool(tf.config.list_physical_devices("GPU"))  # there is nothing to fuse for one


def test_loss_is_nats_a_token_over_rows_that_each_begin_without_a_state(
    trained: Path, twin: Twin, vocabulary: str, fused: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = encode(vocabulary, parts()[2])
    each = (len(tokens) - 1) // 4
    nats = [twin.nats(tokens[row * each : (row + 1) * each + 1]) for row in range(4)]
    expected = np.concatenate(nats).mean()
    (row,) = rows_of(capsys, "eval", trained)
    assert fused == [2] or GPU
    assert row["split"] == "test"
    assert row["tokens"] == len(tokens)
    assert row["loss"] == pytest.approx(expected, rel=1e-4)
    assert row["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert row["bits_per_character"] == pytest.approx(expected / math.log(2), rel=1e-4)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test"]["loss"] == pytest.approx(row["loss"], rel=1e-6)
    assert set(metrics["tokens"]) == {"train", "validation", "test"}


def test_evaluating_twice_or_another_split_between_does_not_matter(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = rows_of(capsys, "eval", trained, trained, "--split", "validation")
    assert len(both) == 2, "there is no average of two language models"
    assert both[0] == both[1]
    metrics = json.loads((trained / "metrics.json").read_text())  # of the three splits one after another
    assert both[0]["loss"] == pytest.approx(metrics["validation"]["loss"], rel=1e-6)


def test_the_model_has_learned_more_than_how_often_characters_occur(trained: Path) -> None:
    _, counts = np.unique(list(parts()[0]), return_counts=True)
    shares = counts / counts.sum()
    assert json.loads((trained / "metrics.json").read_text())["test"]["loss"] < 0.75 * -(shares * np.log(shares)).sum()


def test_scores_depend_on_the_window_by_rounding_alone(
    trained: Path, vocabulary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = encode(vocabulary, parts()[1])
    found = []
    for window in (7, 256):
        monkeypatch.setattr(_scoring, "WINDOW", window)
        found.append(_scoring.nats(RunDirectory(trained).load_model(), tokens))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_score_carries_the_state_through_the_whole_text(
    trained: Path,
    twin: Twin,
    vocabulary: str,
    fused: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = parts()[1] + parts()[2]  # more than two windows of scoring
    (tmp_path / "some.txt").write_text(given)
    (row,) = rows_of(capsys, "score", trained, tmp_path / "some.txt")
    assert fused == [2] or GPU
    expected = twin.nats(encode(vocabulary, given)).mean()
    assert row["characters"] == row["tokens"] == len(given) - 1 > 512
    assert row["nats_per_character"] == pytest.approx(expected, rel=1e-4)
    assert row["bits_per_character"] == pytest.approx(expected / math.log(2), rel=1e-4)
    assert row["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert row["unknown"] == 0


def test_score_reads_standard_input_and_counts_what_is_unknown(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("the \u00e9 cat\n".encode())))
    (row,) = rows_of(capsys, "score", trained, "-")
    assert (row["file"], row["characters"], row["unknown"]) == ("standard input", 9, 1)


PIECES = RECIPE.replace("sequence_length: 16", "sequence_length: 16, tokens: pieces, vocabulary_size: 290")


@pytest.fixture(scope="module")
def of_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a text in pieces, its run "whole" beside it."""
    folder = tmp_path_factory.mktemp("pieces")
    recipe = write(folder, with_layers(PLAIN, PIECES))
    train(recipe, "fit.epochs=2", "--out", folder / "whole")
    return recipe


def test_a_character_that_the_first_token_only_begins_counts(
    of_pieces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The zebra, four bytes, is no piece: its first byte is given, and the character ends after it."""
    whole = of_pieces.parent / "whole"
    tokenizer: Any = resume.own_vocabulary(RunDirectory(whole))
    first = tokenizer.decode(tokenizer.encode("the cat")[:1])
    assert first and "the cat".startswith(first)
    for given, characters in {"\U0001f993": 1, "\U0001f993a\u00e9": 3, "the cat": 7 - len(first)}.items():
        (tmp_path / "some.txt").write_text(given)
        (row,) = rows_of(capsys, "score", whole, tmp_path / "some.txt")
        assert row["characters"] == characters and row["tokens"] == len(tokenizer.encode(given)) - 1
        assert row["nats_per_character"] == pytest.approx(math.log(row["perplexity"]) * row["tokens"] / characters)


# -- writing ---------------------------------------------------------------------------------------------


def written(capsys: pytest.CaptureFixture[str], trained: Path, *arguments: object) -> str:
    done = run(capsys, "generate", trained, *arguments)
    assert done.status == 0, done.err
    return done.out


def test_temperature_zero_writes_what_the_formulas_say(
    trained: Path, twin: Twin, vocabulary: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "the cat s"
    twin.reset()
    *before, last = encode(vocabulary, prompt)
    for token in before:
        twin.read(token)
    expected = ""
    for _ in range(60):
        last = 1 + int(np.argmax(twin.read(last)[1:]))  # the unknown token is never written
        expected += vocabulary[last - 1]
    out = written(capsys, trained, "--prompt", prompt, "--length", 60, "--temperature", 0)
    assert out == f"{prompt}{expected}" + ("" if expected.endswith("\n") else "\n")
    for allowed in (("--top-k", 1), ("--top-p", 1e-9)):  # one token, the likeliest, whatever the seed
        assert written(capsys, trained, "--prompt", prompt, "--length", 30, *allowed, "--seed", 9).rstrip("\n") == (
            out[: len(prompt) + 30].rstrip("\n")
        )


def test_equal_seeds_write_equal_texts_however_they_are_asked_for(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = written(capsys, trained, "--length", 200, "--seed", 3)
    assert written(capsys, trained, "--length", 50, "--seed", 3).rstrip("\n") == long[:50].rstrip("\n")
    assert written(capsys, trained, "--length", 200, "--seed", 4) != long
    (row,) = rows_of(capsys, "generate", trained, "--length", 200, "--seed", 3)
    assert row["text"] == long[:200]


def test_samples_differ_and_come_with_their_numbers(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = written(capsys, trained, "--samples", 3, "--length", 40, "--prompt", "a ")
    heads = [line for line in out.splitlines() if line.startswith("---")]
    assert heads == [f"--- sample {number} of 3 ---" for number in (1, 2, 3)]
    rows = rows_of(capsys, "generate", trained, "--samples", 3, "--length", 40, "--prompt", "a ")
    assert len({row["text"] for row in rows}) == 3
    assert all(len(row["text"]) == 40 and row["prompt"] == "a " for row in rows)
    table = list(csv.DictReader(io.StringIO(run(capsys, "generate", trained, "--length", 40, "--format", "csv").out)))
    assert len(table) == 1


def test_text_streams_and_a_reader_may_leave(trained: Path) -> None:
    command = f"{sys.executable} -m dltool generate {trained} --length 100000 | head -c 100"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert len(done.stdout) == 100
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("--prompt", "caf\u00e9 \u20ac"),
            "--prompt: the run does not know the characters 'f', '\u00e9', '\u20ac'. Leave",
        ),
        (("--top-p", "1.5"), "--top-p 1.5: must lie above 0, up to 1"),
        (("--temperature", "inf"), "--temperature inf: must be"),
        (("--temperature", "0", "--top-k", "3"), "--top-k 3: --temperature 0 takes the likeliest token"),
        (("--temperature", "0", "--top-p", "0.5"), "--top-p 0.5: --temperature 0 takes the likeliest token"),
        (("--steps", "5", "--out", "x.png"), "--out, --steps: mean nothing here"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_status_2(
    trained: Path, arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "generate", trained, *arguments)
    assert (done.status, done.out) == (2, "")
    assert line in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a\nb\xff", "bad.txt:2: is no UTF-8 (byte 0xFF)"), (b"a", "has 1 characters, at least 2 are needed")],
)
def test_a_text_that_cannot_be_scored_is_one_line_and_status_5(
    trained: Path, content: bytes, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    done = run(capsys, "score", trained, tmp_path / "bad.txt")
    assert done.status == 5
    assert line in done.err


def test_a_run_of_other_data_or_without_its_vocabulary_is_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "vocabulary" / "characters.json").unlink()
    done = run(capsys, "generate", tmp_path / "run")
    assert done.status == 5
    assert "the run's vocabulary can't be read (it has no 'characters.json')" in done.err
    (tmp_path / "run" / "data.json").write_text('{"input_shape": [8, 8, 1]}')
    done = run(capsys, "generate", tmp_path / "run")
    assert done.status == 5
    assert "was not trained as a language model" in done.err
    assert run(capsys, "generate", tmp_path / "nowhere").status == 5


# -- other data, and going on -------------------------------------------------------------------------------


def test_another_text_is_read_in_the_runs_own_vocabulary(
    trained: Path, twin: Twin, vocabulary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "a cat at the mat. " * 9
    (tmp_path / "other.txt").write_text(given)
    (row,) = rows_of(capsys, "eval", trained, "--data", f"TextFile: {tmp_path / 'other.txt'}")
    tokens = encode(vocabulary, given)
    each = (len(tokens) - 1) // 4
    nats = [twin.nats(tokens[row * each : (row + 1) * each + 1]) for row in range(4)]
    assert (row["split"], row["tokens"]) == ("all", len(given))
    assert row["loss"] == pytest.approx(np.concatenate(nats).mean(), rel=1e-4)


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """As a signal after so many steps."""
    advanced = Keeper.advanced

    def watched(keeper: Keeper, procedure: Any) -> None:
        if procedure.position.total_steps >= after:
            keeper.interruption.signal = 15
        advanced(keeper, procedure)

    monkeypatch.setattr(Keeper, "advanced", watched)


def test_training_stopped_in_the_middle_of_an_epoch_goes_on_to_the_same_bits(
    folder: Path, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = folder / "again"
    with monkeypatch.context() as patched:
        interrupt(patched, after=60)
        assert run(capsys, "train", folder / "tiny.yaml", "--out", again, "-q").status == 143
    with np.load(again / "checkpoint" / "state.npz") as state:
        position = json.loads(state["__plain__"].tobytes())["plain"]["position"]
        states = [state[name] for name in state.files if name.startswith("state/")]
    assert position["step"] > 0, "it did not stop in the middle of an epoch"
    assert [one.shape for one in states] == [(4, 12), (4, 12), (4, 10), (4, 10)]
    assert all(np.abs(one).max() > 0 for one in states)
    done = run(capsys, "train", again, "--resume", "-q")
    assert done.status == 0, done.err
    kept = ("loss", "val_loss", "val_perplexity")
    histories = [list(csv.DictReader((one / "history.csv").open())) for one in (trained, again)]
    assert [[row[name] for name in kept] for row in histories[0]] == [[row[n] for n in kept] for row in histories[1]]
    models = [RunDirectory(one).load_model().get_weights() for one in (trained, again)]
    assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))


WORDS = RECIPE.replace("sequence_length: 16", "sequence_length: 8, tokens: words, vocabulary_size: 12")
PLAIN = "  - SimpleRNN: {units: 6, return_sequences: true, stateful: true}\n"


def test_a_resumed_run_keeps_its_pieces_and_goes_on_to_the_same_bits(
    of_pieces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on_to_the_same_bits(
        of_pieces, of_pieces.parent / "whole", tmp_path / "again", "pieces.model", capsys, monkeypatch
    )


def test_a_resumed_run_keeps_its_words_and_goes_on_to_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that looks at one token alone."""
    recipe = write(tmp_path, with_layers("", WORDS))
    train(recipe, "fit.epochs=2", "--out", tmp_path / "whole")
    goes_on_to_the_same_bits(recipe, tmp_path / "whole", tmp_path / "again", "words.json", capsys, monkeypatch)


def goes_on_to_the_same_bits(
    recipe: Path,
    whole: Path,
    again: Path,
    file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        interrupt(patched, after=5)
        assert run(capsys, "train", recipe, "fit.epochs=2", "--out", again, "-q").status == 143
    kept = (again / "vocabulary" / file).read_bytes()
    done = run(capsys, "train", again, "--resume", "-q")
    assert done.status == 0, done.err
    assert kept == (again / "vocabulary" / file).read_bytes() == (whole / "vocabulary" / file).read_bytes()
    models = [RunDirectory(one).load_model().get_weights() for one in (whole, again)]
    assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))


def test_resume_refuses_a_text_that_has_changed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write(tmp_path)
    with monkeypatch.context() as patched:
        interrupt(patched, after=4)
        assert run(capsys, "train", recipe, "--out", tmp_path / "run", "-q").status == 143
    changed = text()[:-3] + "rat"
    (tmp_path / "text.txt").write_text(changed)
    done = run(capsys, "train", tmp_path / "run", "--resume", "-q")
    assert done.status == 5
    assert "the data have changed since (text_sha256 was" in done.err


# -- what a recipe can't mean --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("validation_split: 0.1", "validation_split: 0.1\n  split_seed: 1", "data.split_seed: a text is cut in order"),
        ("batch_size: 4}", "batch_size: 4, validation_batch_size: 8}", "the model's state has 4 rows"),
        ("batch_size: 4}", "batch_size: 4, class_weight: {0: 2.0}}", "fit.class_weight: weighs classes of examples"),
        ("batch_size: 4}", "batch_size: 400}", "tokens, too few for 400 rows of windows of 16"),
        ("validation_split: 0.1", "validation_split: 0.1\n  augment: [{Rescaling: 2.0}]", "the tokens of a text"),
        ("output_dim: 6}", "output_dim: 6}\n  - Flatten", "model[2]"),
    ],
)
def test_what_makes_no_sense_for_a_text_is_said_before_training(
    tmp_path: Path, old: str, new: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in RECIPE
    done: Done = run(capsys, "train", write(tmp_path, RECIPE.replace(old, new)), "--out", tmp_path / "run", "-q")
    assert done.status in (2, 5), done.err
    assert line in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_a_batch_size_that_the_state_has_not_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", trained, "--batch-size", 8)
    assert done.status == 2
    assert "a batch size of 8 does not fit: the model keeps the state of 4 rows" in done.err


# -- other models --------------------------------------------------------------------------------------------

OTHERS = {
    "stateless GRU": "  - GRU: {units: 9, return_sequences: true}\n",
    "cells in a stack": "  - RNN: {cell: [{LSTMCell: 7}, {GRUCell: 6}], return_sequences: true, stateful: true}\n",
    "simple, with a shortcut": "  - Residual: {layers: [{SimpleRNN: {units: 6, return_sequences: true}}]}\n",
    "bidirectional": "  - Bidirectional: {layer: {SimpleRNN: {units: 4, return_sequences: true}}}\n",
    "convolution": "  - Conv1D: {filters: 6, kernel_size: 3, padding: same}\n",
}


def untrained(trained: Path, folder: Path, layers: str) -> Path:
    """The run as if it had been trained with other layers: of large random weights."""
    path = shutil.copytree(trained, folder / "run")
    recipe = reading.load(write(folder, with_layers(layers)))
    model = build.model(recipe, OpenedRun(trained).data.facts, None)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.5, w.shape) if w.dtype.kind == "f" else w for w in model.get_weights()])
    model.save(path / "model.keras")
    return path


def with_layers(layers: str, recipe: str = RECIPE) -> str:
    """The recipe with other layers between embedding and output."""
    head, _, rest = recipe.partition("  - LSTM: {units: 12")
    return f"{head}{layers}  - Dense{rest.partition('  - Dense')[2]}".replace("epochs: 3", "epochs: 1")


@pytest.mark.parametrize("kind", ["stateless GRU", "cells in a stack", "simple, with a shortcut"])
def test_scores_of_other_recurrent_layers_equal_the_model_on_the_whole_text(
    kind: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "stack" in kind:
        path = tmp_path / "run"
        train(write(tmp_path, with_layers(OTHERS[kind])), "--out", path)
    else:
        path = untrained(trained, tmp_path, OTHERS[kind])
    given = "the cat sat on a mat."
    (tmp_path / "some.txt").write_text(given)
    (row,) = rows_of(capsys, "score", path, tmp_path / "some.txt")
    model = RunDirectory(path).load_model()
    tokens = encode(json.loads((path / "vocabulary" / "characters.json").read_text()), given)
    logits = np.asarray(model(np.tile(tokens[:-1], (4, 1))))[0].astype(np.float64)  # one call, from no state
    nats = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(tokens) - 1), tokens[1:]]
    assert row["nats_per_character"] == pytest.approx(nats.mean(), rel=1e-4)
    assert len(written(capsys, path, "--length", 25, "--prompt", "a")) >= 26


@pytest.mark.parametrize(
    ("kind", "line"), [("bidirectional", "bidirectional"), ("convolution", "something else token by token")]
)
def test_a_model_that_looks_ahead_is_refused(
    kind: str, line: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "generate", untrained(trained, tmp_path, OTHERS[kind]))
    assert (done.status, done.out) == (2, "")
    assert "can't be run token by token" in done.err and line in done.err
    assert done.err.count("\n") == 1

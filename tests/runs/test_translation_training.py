"""Translations through the command line: trained, evaluated a direction, resumed to the same bits."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.command_line import run

RECIPE = """\
# Numbers up to 99 in words, with everything that has a state: dropout, a schedule, Adam.
data:
  dataset:
    NumberWords: {directions: [en-fr, fr-en], largest: 999, examples: 60, held_out_examples: 20, seed: 2,
                  tokens: bpe, vocabulary_size: 120, bpe_dropout: 0.2}
model:
  Seq2Seq:
    source_vocabulary_size: ${data.source_vocabulary_size}
    target_vocabulary_size: ${data.target_vocabulary_size}
    encoder: [{Bidirectional: {layer: {GRU: 6}}}]
    decoder: {GRU: 8}
    attention: BahdanauAttention
    embedding_size: 6
    shared_embeddings: true
    tied_embeddings: true
    dropout: 0.2
    word_dropout: 0.1
compile:
  optimizer: {Adam: {learning_rate: {CosineDecay: {initial_learning_rate: 1e-2, decay_steps: 2 epochs}}, clipnorm: 1.0}}
  loss: {LabelSmoothedCrossentropy: 0.1}
  metrics: [SparseCategoricalAccuracy: {name: token_accuracy}, Perplexity: {from_logits: true}]
  steps_per_execution: 1
fit: {epochs: 2, batch_size: 16}
deterministic: true
seed: 1
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("translation") / "numbers.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path) -> Path:
    from dltool.recipe import reading
    from dltool.runs import train

    return train.train(reading.load(recipe), out=recipe.parent / "run").run.path


def weights(run_: Path) -> list[np.ndarray]:
    from dltool.runs.directory import RunDirectory

    return RunDirectory(run_).load_model().get_weights()


def test_a_run_keeps_its_vocabulary_and_its_figures(trained: Path) -> None:
    assert sorted(path.name for path in (trained / "vocabulary").iterdir()) == ["shared.model", "sums.json"]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["examples"] == {"train": 120, "validation": 40, "test": 40}
    for split in ("train", "validation", "test"):
        assert {"loss", "token_accuracy", "perplexity"} <= metrics[split].keys()
    facts = json.loads((trained / "data.json").read_text())
    assert facts["directions"] == ["en-fr", "fr-en"] and facts["train_size"] == 120


def test_eval_gives_figures_of_the_split_and_of_each_direction(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", trained, "--format", "json", "--predictions", trained / "p.csv")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    (row,), directions = report["scores"], report["directions"]
    assert [one["direction"] for one in directions] == ["en-fr", "fr-en"]
    assert row["examples"] == 40 == sum(one["examples"] for one in directions)
    kept = json.loads((trained / "metrics.json").read_text())["test"]
    assert row["perplexity"] == pytest.approx(kept["perplexity"], rel=1e-5)
    tokens = json.loads((trained / "data.json").read_text())["test_target_tokens"]
    # the mean of both directions, each weighed by its tokens, is that of the split
    low, high = sorted(one["loss"] for one in directions)
    assert low <= row["loss"] <= high and tokens > 40
    again = run(capsys, "eval", trained, "--format", "json", "--batch-size", "7")
    assert json.loads(again.out)["scores"][0]["loss"] == pytest.approx(row["loss"], rel=1e-5)
    for option in ("--per-class", "--confusion"):
        assert run(capsys, "eval", trained, option).status == 2
    answers = pd.read_csv(trained / "p.csv", keep_default_na=False)
    assert answers["direction"].value_counts().to_dict() == {"en-fr": 20, "fr-en": 20}
    exact = (answers["prediction"] == answers["target"]).groupby(answers["direction"]).mean()
    assert exact.to_dict() == pytest.approx({one["direction"]: one["exact_match"] for one in directions})


def test_resumed_in_the_middle_of_an_epoch_it_is_the_same_training(
    recipe: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dltool.errors import InterruptedRun
    from dltool.recipe import reading
    from dltool.runs import train
    from dltool.runs.keeper import Keeper

    out = recipe.parent / "interrupted"
    advanced, seen = Keeper.advanced, []

    def stop_once(self: Keeper, procedure: object) -> None:
        seen.append(procedure.position.total_steps)
        if len(seen) == 11:  # of 8 batches an epoch: in the second one
            os.kill(os.getpid(), signal.SIGTERM)
        advanced(self, procedure)

    monkeypatch.setattr(Keeper, "advanced", stop_once)
    with pytest.raises(InterruptedRun):
        train.train(reading.load(recipe), out=out)
    monkeypatch.undo()
    kept = (out / "vocabulary" / "shared.model").read_bytes()
    assert kept == (trained / "vocabulary" / "shared.model").read_bytes()
    train.train(reading.load(recipe), out=out, resume=True)
    for one, other in zip(weights(out), weights(trained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_damaged_vocabulary_is_an_error_that_names_it(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(trained, broken)
    (broken / "vocabulary" / "shared.model").write_bytes(b"nonsense")
    done = run(capsys, "eval", broken)
    assert done.status == 5
    assert "vocabulary/shared.model: is damaged (it is not what was written). Train again with --overwrite." in done.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model=[{Dense: 3}]", "name an architecture for them, such as Seq2Seq"),
        ("data.augment=[{RandomFlip: horizontal}]", "the data are sentences, which layers can't augment"),
        ("fit.class_weight={0: 2}", "of text each token is one. Remove it."),
        ("data.validation_split=0.1", "stores a validation part of its own: remove 'validation_split'."),
        ("model.Seq2Seq.attention=Dense", "Dense"),
        ("fit.batch_tokens=200", "fit.batch_tokens: needs sentences of the same length each epoch"),
        ("fit.shuffle=false", "fit.shuffle: false leaves every epoch the same, which 'bpe_dropout' redraws"),
        ("data.dataset.NumberWords.tokens=unigram", "'bpe_dropout' needs 'tokens: bpe'. Got 'tokens: unigram'."),
        ("data.dataset.NumberWords.bpe_dropout=1", "bpe_dropout"),
    ],
)
def test_what_sentences_do_not_take_is_said(
    recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, override: str, said: str
) -> None:
    done = run(capsys, "train", recipe, override, "--out", tmp_path / "run")
    assert done.status == 2
    assert said in done.err
    assert not (tmp_path / "run").exists()


def test_lr_schedule_knows_the_batches_of_an_epoch(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """120 pairs in batches of 16: 8 steps, 16 in all."""
    done = run(capsys, "lr-schedule", recipe, "--format", "json")
    assert done.status == 0, done.err
    assert "16" in done.out
    assert str(8) in done.out


def test_batches_by_tokens_fill_an_epoch_that_every_command_knows(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_tokens = ["fit.batch_tokens=200", "fit.epochs=1", "data.dataset.NumberWords.bpe_dropout=0"]
    by_tokens += ["model.Seq2Seq.encoder=[{GRU: 8}]", "model.Seq2Seq.attention=null"]  # the model does not matter
    done = run(capsys, "train", recipe, *by_tokens, "--out", tmp_path / "run", "-q")
    assert done.status == 0, done.err
    with (tmp_path / "run" / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    batches = json.loads((tmp_path / "run" / "data.json").read_text())["train_batches"]
    assert int(row["step"]) == batches != 120 / 16
    for source in ([recipe, *by_tokens], [tmp_path / "run"]):
        told = run(capsys, "lr-schedule", *source, "--format", "csv")
        assert told.status == 0, told.err
        assert len(told.out.splitlines()) - 1 in (batches, batches + 1)


def test_batches_by_tokens_of_other_data_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "mlp/digits", "fit.batch_tokens=200", "--out", tmp_path / "run")
    assert done.status == 2 and "fit.batch_tokens: counts the tokens of translations" in done.err
    assert not (tmp_path / "run").exists()

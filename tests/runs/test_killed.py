"""SIGKILL at random moments: resumed training ends as if it had never been disturbed, in four kinds of problem."""

from __future__ import annotations

import csv
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import spawn
from tests.runs.test_resume import RECIPE, arrays, history

KILLS = int(os.environ.get("DLTOOL_TEST_KILLS", "50"))  # a kind of problem
CALLBACKS = """\
  callbacks:
    - EarlyStopping: {patience: 3, restore_best_weights: true, monitor: val_loss}
    - ReduceLROnPlateau: {patience: 1, factor: 0.5, monitor: val_loss}
    - CSVLogger: log.csv
deterministic: true
seed: 5
"""
FAMILIES = {
    "image": RECIPE.replace("    - ActivationPercentiles", "    - CSVLogger: log.csv\n    - ActivationPercentiles"),
    "table": """\
data:
  dataset: {Csv: {path: t.csv, target: y}}
  validation_split: 0.2
model:
  - FeatureSpace: ${data.features}
  - Dense: {units: 16, activation: relu}
  - Dropout: 0.2
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  steps_per_execution: 3
fit:
  epochs: 12
  batch_size: 8
""" + CALLBACKS,
    "language": """\
data:
  dataset: {TextFile: {path: text.txt, sequence_length: 12}}
  validation_split: 0.1
model:
  - Embedding: {input_dim: "${data.num_classes}", output_dim: 8}
  - GRU: {units: 16, return_sequences: true, stateful: true, dropout: 0.1}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  steps_per_execution: 3
fit:
  epochs: 8
  batch_size: 8
""" + CALLBACKS,
    "translation": """\
data:
  dataset:
    NumberWords: {directions: [en-fr], largest: 99, examples: 70, held_out_examples: 10, seed: 2, tokens: bpe,
                  vocabulary_size: 60}
model:
  Seq2Seq:
    source_vocabulary_size: ${data.source_vocabulary_size}
    target_vocabulary_size: ${data.target_vocabulary_size}
    encoder: [{GRU: 6}]
    decoder: {GRU: 8}
    attention: LuongAttention
    embedding_size: 6
compile:
  optimizer: Adam
  loss: {LabelSmoothedCrossentropy: 0.1}
  metrics: [TokenAccuracy]
  steps_per_execution: 3
fit:
  epochs: 5
  batch_size: 16
""" + CALLBACKS,
}  # fmt: skip


def write_data(folder: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 3))
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "y"])
        writer.writerows([*row, "up" if row.sum() + generator.normal() > 0 else "down"] for row in rows)
    words = generator.choice(["the", "cat", "dog", "sat", "ran", "on", "a", "mat", "log"], 1500)
    (folder / "text.txt").write_text(" ".join(words))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_killed_at_any_moment_and_resumed_it_is_the_same_training(family: str, tmp_path: Path) -> None:
    import keras

    import dltool.runs.keras_objects  # noqa: F401  a translator holds layers of dltool

    write_data(tmp_path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(FAMILIES[family])
    start = time.monotonic()
    whole = spawn("train", recipe, "--out", "whole", "-q", cwd=tmp_path)
    assert whole.wait(timeout=300) == 0, whole.stderr.read()
    longest = time.monotonic() - start
    expected = tmp_path / "whole"
    generator = np.random.default_rng(1)
    kills = attempts = 0
    while kills < KILLS:
        attempts += 1
        run = tmp_path / f"run-{attempts}"
        command = ["train", recipe, "--out", run, "-q"]
        while True:
            process = spawn(*command, cwd=tmp_path)
            try:
                status = process.wait(timeout=generator.uniform(0.2, 1.0) * longest)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                saved = (run / "checkpoint" / "state.npz").is_file()
                again = ["train", run, "--resume", "-q"], ["train", recipe, "--out", run, "--overwrite", "-q"]
                command = again[0] if saved else again[1]
                continue
            assert status == 0, process.stderr.read()
            break
        assert history(run) == history(expected)
        ours, theirs = arrays(run), arrays(expected)
        assert [name for name in theirs if not np.array_equal(ours[name], theirs[name])] == []
        assert (run / "log.csv").read_bytes() == (expected / "log.csv").read_bytes()
        models = [keras.models.load_model(one / "model.keras").get_weights() for one in (run, expected)]
        assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))
        assert [path.name for path in run.rglob(".*")] == [], "a temporary file was left"

"""Faults of own Python are told with its file and line, and are none of dltool's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import own_words
from tests.command_line import run

SOURCE = """\
import keras
import numpy as np
from dltool import Dataset

class Wrong(keras.layers.Layer):
    def call(self, x):
        return x * self.missing  # line 7

class Picky(keras.layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        if size < 1:
            raise ValueError(f"size must be positive. Got {size}.")
        self.size = {}[size]  # line 14

class Late(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise logs["nothing"]  # line 18

class Loss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_true.nothing  # line 22

class Points(Dataset):
    def sizes(self):
        return {"train": 8}
    def facts(self):
        return {"input_shape": (2,), "num_classes": 2, "class_names": ["a", "b"]}
    def labels(self, part):
        return np.arange(8, dtype="int32") % 2
    def read(self, part):
        return {}[part]  # line 32

def faulty(path: str):
    \"\"\"Count lines.\"\"\"
    print(len(open(path).readlines()))  # line 36
"""
RECIPE = """\
data: {dataset: Blobs}
model: [Dense: 3]
compile: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "faulty.py").write_text(SOURCE)
    (tmp_path / "r.yaml").write_text(RECIPE)
    with own_words.forgotten():
        yield tmp_path / "faulty.py"


@pytest.mark.parametrize(
    ("override", "status", "said"),
    [
        ("model.0=Wrong", 2, "model[0].Wrong: FILE:7: AttributeError: 'Wrong' object has no attribute 'missing'"),
        ("model.0={Picky: 3}", 2, "model[0].Picky: FILE:14: KeyError: 3"),
        ("model.0={Picky: 0}", 2, "model[0].Picky: size must be positive. Got 0."),  # as a class of dltool says it
        ("compile.loss=Loss", 2, "FILE:22: AttributeError: "),
        ("fit.callbacks=[Late]", 1, "training failed: FILE:18: KeyError: 'nothing'"),
        ("data.dataset=Points", 1, "dltool: FILE:32: KeyError: 'train'\ndltool: --traceback shows how"),
    ],
)
def test_training_names_file_and_line(
    override: str, status: int, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = file.parent / "run"
    done = run(capsys, "train", file.parent / "r.yaml", override, "--plugin", file, "--out", out, "-q")
    assert done.status == status and said.replace("FILE", str(file)) in done.err
    assert "fault of dltool" not in done.err


def test_a_command_names_file_and_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "--plugin", file, "faulty", "absent.csv")
    assert done.status == 1
    assert done.err.startswith(f"dltool: {file}:36: FileNotFoundError: ") and "fault of dltool" not in done.err

"""The plain script that dltool is measured against: the recipes' models in `keras.Model.fit`, Keras's defaults.

python -m tests.benchmarks.plain_keras {mlp,lenet5,char-lstm} EPOCHS [DTYPE_POLICY] prints a JSON line with the seconds
of each epoch.
"""

from __future__ import annotations

import json
import sys
import time

import keras
import numpy as np
from keras import layers

from dltool.datasets.mnist import Mnist
from dltool.datasets.text_file import TextFile
from tests.benchmarks.training import CHAR_BATCH, CHAR_STEPS


class EpochSeconds(keras.callbacks.Callback):
    """Wall time of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def mlp(steps_per_epoch: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(512, activation="relu", kernel_initializer="he_normal"),
            layers.Dropout(0.5),
            layers.Dense(512, activation="relu", kernel_initializer="he_normal"),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 30 * steps_per_epoch, alpha=0.01)
    return model, keras.optimizers.Adam(schedule)


def lenet5(steps_per_epoch: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Normalization(axis=None, mean=33.3, variance=78.6**2),
            layers.ZeroPadding2D(2),
            layers.Conv2D(6, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10),
        ]
    )
    schedule = keras.optimizers.schedules.PolynomialDecay(0.05, 12 * steps_per_epoch, 0.0005)
    return model, keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=2e-3)


def char_lstm(steps_per_epoch: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Embedding(66, 64),  # 65 characters of tiny Shakespeare and the unknown one
            layers.LSTM(256, return_sequences=True),
            layers.LSTM(256, return_sequences=True),
            layers.Dense(66),
        ]
    )
    return model, keras.optimizers.Adam(0.002, clipnorm=1.0)


NETS = {"mlp": (mlp, 128), "lenet5": (lenet5, 64), "char-lstm": (char_lstm, CHAR_BATCH)}


def mnist() -> tuple[np.ndarray, np.ndarray]:
    examples = Mnist().read("train")
    return examples.x, examples.y


def windows(length: int = 64, count: int = CHAR_BATCH * CHAR_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Tiny Shakespeare's first windows of characters, and the same one character later."""
    text = TextFile("tinyshakespeare/input.txt").load()
    numbers = {character: number + 1 for number, character in enumerate(sorted(set(text)))}
    tokens = np.array([numbers[character] for character in text[: length * count + 1]], np.int32)
    return tokens[:-1].reshape(count, length), tokens[1:].reshape(count, length)


def main() -> None:
    make, batch_size = NETS[sys.argv[1]]
    if len(sys.argv) > 3:
        keras.config.set_dtype_policy(sys.argv[3])
    x, y = windows() if sys.argv[1] == "char-lstm" else mnist()
    model, optimizer = make(-(-len(x) // batch_size))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    clock = EpochSeconds()
    model.fit(x, y, batch_size=batch_size, epochs=int(sys.argv[2]), verbose=0, callbacks=[clock])
    print(json.dumps({"seconds": clock.seconds, "examples": len(x)}))


if __name__ == "__main__":
    main()

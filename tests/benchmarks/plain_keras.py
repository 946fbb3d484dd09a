"""The plain script that dltool is measured against: the recipes' models in `keras.Model.fit`, Keras's defaults.

python -m tests.benchmarks.plain_keras {mlp,lenet5,char-lstm,translation} EPOCHS [DTYPE_POLICY] prints a JSON line with
the seconds of each epoch.
"""

from __future__ import annotations

import json
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from dltool.data.pipelines.bucketed import Bucketed, DevicePairs
from dltool.library.datasets.mnist import Mnist
from dltool.library.datasets.parallel_text import ParallelText
from dltool.library.datasets.text_file import TextFile
from tests.benchmarks.training import CHAR_BATCH, CHAR_STEPS, PAIRS_BATCH, PAIRS_STEPS


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


def translation(steps_per_epoch: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    source, target = keras.Input((None,), name="source"), keras.Input((None,), name="target")
    embedding = layers.ReversibleEmbedding(8000, 256, mask_zero=True)
    encoder = layers.Bidirectional(layers.GRU(256, return_sequences=True, return_state=True))
    memory, forward, backward = encoder(layers.Dropout(0.4)(embedding(source)))
    ends = layers.Concatenate()([forward, backward, memory[:, 0]])  # as wide as the memory's both ends
    state = layers.Dense(512, activation="tanh")(ends)
    y = layers.Dropout(0.4)(embedding(target))
    hidden = layers.GRU(512, return_sequences=True)(y, initial_state=state)
    context = layers.Attention()([hidden, memory, layers.Dense(512, use_bias=False)(memory)])
    o = layers.Dense(256, activation="tanh")(layers.Concatenate()([hidden, context]))
    logits = embedding(layers.Dropout(0.4)(o), reverse=True)
    return keras.Model({"source": source, "target": target}, logits), keras.optimizers.Adam(1e-3, clipnorm=1.0)


NETS = {
    "mlp": (mlp, 128),
    "lenet5": (lenet5, 64),
    "char-lstm": (char_lstm, CHAR_BATCH),
    "translation": (translation, PAIRS_BATCH),
}


def mnist() -> tuple[np.ndarray, np.ndarray]:
    examples = Mnist().read("train")
    return examples.x, examples.y


def windows(length: int = 64, count: int = CHAR_BATCH * CHAR_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Tiny Shakespeare's first windows of characters, and the same one character later."""
    text = TextFile("tinyshakespeare/input.txt").load()
    numbers = {character: number + 1 for number, character in enumerate(sorted(set(text)))}
    tokens = np.array([numbers[character] for character in text[: length * count + 1]], np.int32)
    return tokens[:-1].reshape(count, length), tokens[1:].reshape(count, length)


def sentences(epochs: int) -> tf.data.Dataset:
    """As many batches of Multi30k as there are steps, padded and of like length as dltool's."""
    pairs = ParallelText("multi30k/train.{language}.gz", directions=["en-de"], vocabulary_size=8000).read("train")
    pipeline = Bucketed(DevicePairs(pairs), None, PAIRS_BATCH)

    def batches():  # type: ignore[no-untyped-def]
        for epoch in range(epochs):
            yield from pipeline.batches(PAIRS_STEPS, pipeline.order(0, epoch))

    tokens = tf.TensorSpec((None, None), tf.int32)
    found = tf.data.Dataset.from_generator(
        batches, output_signature=({"source": tokens, "target": tokens}, tokens)
    ).prefetch(4)
    options = tf.data.Options()
    options.autotune.enabled = False  # else an epoch's end now and then waits for seconds
    return found.with_options(options)


def main() -> None:
    net, epochs = sys.argv[1], int(sys.argv[2])
    make, batch_size = NETS[net]
    if len(sys.argv) > 3:
        keras.config.set_dtype_policy(sys.argv[3])
    clock = EpochSeconds()
    if net == "translation":
        examples = PAIRS_STEPS * PAIRS_BATCH
        data: dict = {"x": sentences(epochs), "steps_per_epoch": PAIRS_STEPS}
    else:
        x, y = windows() if net == "char-lstm" else mnist()
        examples = len(x)
        data = {"x": x, "y": y, "batch_size": batch_size}
    model, optimizer = make(-(-examples // batch_size))
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=0 if net == "translation" else None
    )
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(**data, epochs=epochs, verbose=0, callbacks=[clock])
    print(json.dumps({"seconds": clock.seconds, "examples": examples}))


if __name__ == "__main__":
    main()

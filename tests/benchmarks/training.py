"""make bench: `dltool train` against a plain Keras script of the same work, in alternating runs.

Each run is a process of its own. Figures are examples per second of the training loop, the median over
all epochs but the first (which compiles) of all runs; the ratio is taken run by run, its median printed.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dltool.training import backend

RECIPES = {
    "mlp": "mlp/mnist",
    "lenet5": "cnn/lenet5",
    "char-lstm": "language/char-lstm",
    "translation": "seq2seq/attention",
}
POLICIES = {"char-lstm": ("float32", "mixed_bfloat16"), "translation": ("float32", "mixed_bfloat16")}
# else float32 alone; bfloat16 only where there are instructions for it, else it would take hours
CHAR_STEPS, CHAR_BATCH = 40, 64  # an epoch of char-lstm, here and in plain_keras
CHAR_LSTM = [  # the data and the model of plain_keras, whatever the recipe is tuned to
    "data={dataset: {TextFile: {path: tinyshakespeare/input.txt, sequence_length: 64}}}",
    "model=[{Embedding: {input_dim: 66, output_dim: 64}}, {LSTM: {units: 256, return_sequences: true}}, "
    "{LSTM: {units: 256, return_sequences: true}}, {Dense: 66}]",
    "compile={optimizer: {Adam: {learning_rate: 0.002, clipnorm: 1.0}}, "
    "loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [accuracy]}",
    f"fit={{steps_per_epoch: {CHAR_STEPS}, batch_size: {CHAR_BATCH}}}",
]
PAIRS_STEPS, PAIRS_BATCH = 40, 80  # an epoch of translation
TRANSLATION = [  # likewise
    "data={dataset: {ParallelText: {path: 'multi30k/train.{language}.gz', "
    "test_path: 'multi30k/test_2016_flickr.{language}.gz', directions: [en-de], vocabulary_size: 8000}}}",
    "model={Seq2Seq: {source_vocabulary_size: 8000, target_vocabulary_size: 8000, "
    "encoder: [{Bidirectional: {layer: {GRU: 256}}}], decoder: {GRU: 512}, attention: {LuongAttention: general}, "
    "embedding_size: 256, tied_embeddings: true, shared_embeddings: true, dropout: 0.4}}",
    "compile={optimizer: {Adam: {learning_rate: 0.001, clipnorm: 1.0}}, "
    "loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [TokenAccuracy]}",
    f"fit={{steps_per_epoch: {PAIRS_STEPS}, batch_size: {PAIRS_BATCH}}}",
]
OVERRIDES = {"char-lstm": CHAR_LSTM, "translation": TRANSLATION}
EXAMPLES = {
    "char-lstm": CHAR_STEPS * CHAR_BATCH,
    "translation": PAIRS_STEPS * PAIRS_BATCH,
}  # an epoch, where it is cut
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # dltool switches it on; TensorFlow's default depends on the processor


def dltool_rates(net: str, epochs: int, policy: str) -> tuple[list[float], float]:
    """Examples per second of each epoch but the first, and the seconds of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        overrides = OVERRIDES.get(net, ["data.validation_split=0"])
        overrides = [*overrides, f"fit.epochs={epochs}", "select={monitor: loss, mode: min}", f"dtype_policy={policy}"]
        command = [sys.executable, "-m", "dltool", "train", RECIPES[net], *overrides, "--out", str(out), "--quiet"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment())
        wall = time.perf_counter() - began
        with (out / "history.csv").open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        examples = json.loads((out / "metrics.json").read_text())["examples"]["train"]
    examples = EXAMPLES.get(net, examples)
    return [examples / value for value in seconds[1:]], wall


def plain_rates(net: str, epochs: int, policy: str, onednn: bool = False) -> tuple[list[float], float]:
    environment = _environment() | ({ONEDNN: "1"} if onednn else {}) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.plain_keras", net, str(epochs), policy]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    wall = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    return [found["examples"] / value for value in found["seconds"][1:]], wall


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != ONEDNN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", help=f"{', '.join(RECIPES)}; default all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--dtype-policy",
        action="append",
        help="such as mixed_bfloat16, several times for several; default float32, of char-lstm and translation both "
        "where the processor has instructions for it",
    )
    options = parser.parse_args()
    contenders: dict[str, Callable[[str, int, str], tuple[list[float], float]]] = {
        "dltool": dltool_rates,
        "plain Keras": plain_rates,
        "plain Keras, oneDNN": functools.partial(plain_rates, onednn=True),
    }
    slow = backend.computes_slowly_in("mixed_bfloat16")
    for net in options.nets or RECIPES:
        usual = [policy for policy in POLICIES.get(net, ("float32",)) if policy == "float32" or not slow]
        for policy in options.dtype_policy or usual:
            rates: dict[str, list[float]] = {name: [] for name in contenders}
            walls: dict[str, list[float]] = {name: [] for name in contenders}
            for number in range(options.runs):
                for name, contender in contenders.items():
                    epochs, wall = contender(net, options.epochs, policy)
                    rates[name].append(statistics.median(epochs))
                    walls[name].append(wall)
                    said = f"{net} {policy} run {number + 1} {name}: {rates[name][-1]:,.0f} examples/s, {wall:.1f} s"
                    print(said, file=sys.stderr)
            print(f"{net} ({RECIPES[net]}) in {policy}, {options.runs} runs of {options.epochs} epochs")
            for name in contenders:
                ratios = [ours / theirs for ours, theirs in zip(rates["dltool"], rates[name], strict=True)]
                print(
                    f"  {name:20} {statistics.median(rates[name]):>9,.0f} examples/s  "
                    f"dltool/this {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})  "
                    f"whole process {statistics.median(walls[name]):.1f} s"
                )


if __name__ == "__main__":
    main()

"""Images a second that `dltool predict` answers, against the same net in plain Keras and in ONNX Runtime.

    python -m tests.benchmarks.answering RUN... --images FOLDER [--count 1000] [--rounds 3]

Each measurement is a process of its own, and contenders take turns. All decode the same files in threads, resize them
and answer in batches of the same size. Figures: images a second from the first answered batch to the last, without the
start, as medians over the rounds; ratios are taken round by round; peak memory is of the whole process. dltool
is also measured on a tenth of the images, so that memory that grows with their number would be seen.
ONNX Runtime needs `pip install onnxruntime tf2onnx`; without them its rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BATCH = 32
NEEDED = ("onnxruntime", "onnx", "tf2onnx")


# -- contenders, each in a process of its own -----------------------------------------------------------


def answer_with_dltool(run: Path, paths: list[str]) -> Iterator[int]:
    """Yield how many images each batch of answers has."""
    from dltool.runs.opened import OpenedRun
    from dltool.runs.predict import Predictor

    for table in Predictor([OpenedRun(run)], batch_size=BATCH).answers(paths, print):
        yield table[table.columns[0]].nunique()


def answer_with_keras(run: Path, paths: list[str]) -> Iterator[int]:
    """Yield likewise: tf.data decodes, `predict_on_batch` answers."""
    import tensorflow as tf

    model, rows, columns, channels = _opened(run)

    def decode(path: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), channels=channels, expand_animations=False)
        return tf.image.resize(image, (rows, columns))

    data = tf.data.Dataset.from_tensor_slices(paths).map(decode, tf.data.AUTOTUNE).batch(BATCH).prefetch(1)
    for batch in data:
        yield len(model.predict_on_batch(batch))


def answer_with_onnx(model: Path, paths: list[str]) -> Iterator[int]:
    """Yield likewise: Pillow decodes, ONNX Runtime answers."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    rows, columns, channels = given.shape[1:]
    mode = {1: "L", 3: "RGB"}[channels]

    def decode(path: str) -> Any:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert(mode).resize((columns, rows)), np.float32)
        return pixels.reshape(rows, columns, channels)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for group in (paths[start : start + BATCH] for start in range(0, len(paths), BATCH)):
            outputs = session.run(None, {given.name: np.stack(list(pool.map(decode, group)))})
            yield len(outputs[0])


def export(run: Path, path: Path) -> None:
    """Write a run's model as ONNX."""
    import numpy as np

    model, *size = _opened(run)
    model(np.zeros((1, *size), np.float32))  # Keras exports models that have been called
    model.export(str(path), format="onnx", verbose=False)


def _opened(run: Path) -> tuple[Any, int, int, int]:
    """Return a run's model and the rows, columns and channels of its images."""
    from dltool.runs.opened import OpenedRun, configure

    opened = OpenedRun(run)
    configure([opened], "cpu")
    return opened.model, *opened.model.input_shape[1:]


CONTENDERS: dict[str, Callable[[Path, list[str]], Iterable[int]]] = {
    "dltool": answer_with_dltool,
    "plain Keras": answer_with_keras,
    "ONNX Runtime": answer_with_onnx,
}


def measure(name: str, model: Path, paths: list[str]) -> dict[str, float]:
    """Return images a second and peak memory in megabytes of one contender in this process."""
    began, counts = None, 0
    for count in CONTENDERS[name](model, paths):
        if began is None:
            began = time.perf_counter()
        else:
            counts += count
    assert began is not None
    seconds = time.perf_counter() - began
    return {
        "rate": counts / seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


# -- the comparison -------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories of nets that take images")
    parser.add_argument("--images", type=Path, required=True, help="a folder; its files are taken in turn")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a contender to measure in this process
    options = parser.parse_args()
    files = sorted(str(path) for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    paths = list(itertools.islice(itertools.cycle(files), options.count))
    if options.one == "export":
        export(options.runs[0], options.runs[1])
        return
    if options.one:
        print(json.dumps(measure(options.one, options.runs[0], paths)))
        return
    has_onnx = all(importlib.util.find_spec(name) for name in NEEDED)
    print("| run | contender | images/s | dltool / this | peak memory, MB |\n| --- | --- | --- | --- | --- |")
    for run in options.runs:
        _compare(run, options, has_onnx)


def _compare(run: Path, options: argparse.Namespace, has_onnx: bool) -> None:
    """Print the rows of one run."""
    with tempfile.TemporaryDirectory() as folder:
        models = dict.fromkeys(CONTENDERS, run)
        if has_onnx:
            models["ONNX Runtime"] = Path(folder, "model.onnx")
            _child("export", run, options, further=[str(models["ONNX Runtime"])])
        else:
            del models["ONNX Runtime"]
        found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
        for _ in range(options.rounds):
            for name, model in models.items():
                found[name].append(json.loads(_child(name, model, options)))
                print(f"{run} {name}: {found[name][-1]['rate']:.1f} images/s", file=sys.stderr)
        tenth = json.loads(_child("dltool", run, options, count=options.count // 10))
    for name, rounds in found.items():
        ratios = [ours["rate"] / theirs["rate"] for ours, theirs in zip(found["dltool"], rounds, strict=True)]
        rate, memory = (statistics.median(one[key] for one in rounds) for key in ("rate", "megabytes"))
        few = f" ({tenth['megabytes']:.0f} at a tenth of the images)" if name == "dltool" else ""
        print(f"| `{run.name}` | {name} | {rate:.1f} | {statistics.median(ratios):.2f} | {memory:.0f}{few} |")


def _child(
    one: str, model: Path, options: argparse.Namespace, further: list[str] | None = None, count: int | None = None
) -> str:
    """Return what this script prints in a process of its own that does one thing."""
    command = [sys.executable, "-m", "tests.benchmarks.answering", str(model), *(further or []), "--one", one,
               "--images", str(options.images), "--count", str(count or options.count)]  # fmt: skip
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


if __name__ == "__main__":
    main()

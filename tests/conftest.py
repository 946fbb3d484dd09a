"""What all tests share: TensorFlow's environment, and Keras's global state put back after each test."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dltool.training import backend
from tests import nearest

gc.disable()  # until the tests are collected, all of which stays

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # on a GPU float32 is compared as float32, not as 10 bits of it
os.environ["DLTOOL_FACTS_CACHE"] = "off"  # a test counts what is there, and leaves nothing in the user's cache

_keras_home = tempfile.TemporaryDirectory(prefix="keras-")
os.environ["KERAS_HOME"] = _keras_home.name  # what was once downloaded here is not there elsewhere

# No test may download. Nothing listens at this address, so that a download ends at once in other processes as well.
NOWHERE = ("127.0.0.1", 9)
for _scheme in ("http", "https", "ftp", "all"):
    for _name in (f"{_scheme}_proxy", f"{_scheme}_proxy".upper()):
        os.environ[_name] = f"http://{NOWHERE[0]}:{NOWHERE[1]}"
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1"

# Whether a processor has instructions for bfloat16 decides about a line on stderr: here it always has them.
_processor = Path(_keras_home.name, "cpuinfo")
_processor.write_text(
    "flags : " + os.environ.get("DLTOOL_TEST_PROCESSOR_FLAGS", " ".join(sorted(backend.BFLOAT16_FLAGS)))
)
backend.PROCESSOR = _processor
backend.load()  # before the tests import Keras: in half the time

from dltool.output import history  # noqa: E402

_plot_history = history.plot_history


_flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
if os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper() in ("SSE41", "AVX", "AVX2", "AVX2_VNNI") and "avx512" in _flags:
    # TensorFlow goes by the processor and leaves products in bfloat16 to oneDNN, which then aborts the process. On a
    # processor without AVX-512 TensorFlow computes them itself.
    import keras

    _make_policy = keras.DTypePolicy.__init__

    def _skip_bfloat16(self: keras.DTypePolicy, name: str, *arguments: Any, **options: Any) -> None:
        if "bfloat16" in name:
            pytest.skip("oneDNN may not use the processor's instructions for bfloat16, and TensorFlow does not know it")
        _make_policy(self, name, *arguments, **options)

    keras.DTypePolicy.__init__ = _skip_bfloat16


# Begun first, so that no worker is left with a long file at the end.
LONGEST = ("test_resume", "test_seq2seq", "test_fused_recurrence", "test_generate", "test_eval", "test_recipes",
           "test_translation_training", "test_translate", "test_visualize_filters", "test_beam_search",
           "test_attribution", "test_train", "test_stages", "test_siblings", "test_crossentropy")  # fmt: skip


LONG_TESTS = ("slow", "recipes", "data")  # marks of tests that may take this many seconds, not pytest's `timeout`
LONG_SECONDS = 2 * 3600


def pytest_configure(config: pytest.Config) -> None:
    """Keep how long each file takes, once for all workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(nearest.Timing(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, limit each test's time, and skip tests of real data where there are none."""
    for item in items:
        if any(item.get_closest_marker(name) for name in LONG_TESTS):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))
    if os.environ.get("DLTOOL_DATA"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="needs DLTOOL_DATA"))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was collected, and come less often.

    It took 4 of 20 s of collecting, and 3.6 of 70 s of a file of tests.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def quick_trainings() -> Iterator[None]:
    """Leave out what takes most of a tiny training's time and few tests look at.

    The picture of the history is one pixel, and recurrent layers are traced for one processor. Commands in processes of
    their own do both in full.
    """
    from dltool.ops import devices

    def one_pixel(rows: object, file: Any, *rest: object) -> None:
        from PIL import Image

        Image.new("L", (1, 1)).save(file, format="PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "plot_history", one_pixel)
        patch.setattr(devices, "processors", lambda: 1)
        yield


@pytest.fixture
def pictures_of_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the history in full, for tests that look at it."""
    monkeypatch.setattr(history, "plot_history", _plot_history)


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Keras's dtype policy, automatic names and random seed are as at the start, whatever a test does.

    What TensorFlow has made ready to run stays: without it the functions of module fixtures are optimised again for
    each test. A function that is no more takes what is its own along.
    """
    yield
    if "keras" not in sys.modules:
        return
    from tensorflow.python.eager import context

    keras = sys.modules["keras"]
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.context(), "clear_kernel_cache", lambda: None)
        keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as they need: what runs tests in several processes may have set a terminal's width."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that tries to reach another machine fails there and then, whatever the code makes of errors."""
    connect = socket.socket.connect

    def refuse_others(self: socket.socket, address: Any) -> None:
        reached = tuple(address[:2]) if self.family in (socket.AF_INET, socket.AF_INET6) else None
        if reached is not None and (reached == NOWHERE or reached[0] not in ("127.0.0.1", "::1", "localhost")):
            pytest.fail(
                "the test tries a download: give it data of its own, or mark it and skip it without DLTOOL_DATA"
            )
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse_others)

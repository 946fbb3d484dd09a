"""TensorFlow's settings: precision, seeds, devices."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.errors import UsageError
from dltool.training import backend
from tests.command_line import run, write_quick


def weights(seed: int) -> np.ndarray:
    backend.begin_anew(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    assert model.layers[1].name == "dense", "names start anew"
    return np.concatenate([model.get_weights()[-2].ravel(), model(np.ones((2, 4)), training=True).numpy().ravel()])


def test_weights_and_dropout_are_a_function_of_the_seed() -> None:
    assert np.array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))


def test_dtype_policy_outlives_a_new_beginning() -> None:
    backend.configure(dtype_policy="mixed_bfloat16")
    backend.begin_anew(0)
    layer = keras.layers.Dense(2)
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")


@pytest.mark.parametrize(("policy", "dtype"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")])
def test_training_uses_the_policy_and_the_model_keeps_it(
    policy: str, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / policy
    done = run(capsys, "train", write_quick(tmp_path), f"dtype_policy={policy}", "--out", out, "-q")
    assert (done.status, done.err) == (0, "")
    model = keras.models.load_model(out / "model.keras")
    assert model.layers[-1].compute_dtype == dtype
    evaluated = run(capsys, "eval", out, "--require", "accuracy>=0.3", "--format", "csv")
    assert (evaluated.status, evaluated.err) == (0, "")


@pytest.mark.parametrize(
    ("flags", "policy", "slow"),
    [
        ("fpu sse avx2 fma", "mixed_bfloat16", True),
        ("fpu avx2 avx512f avx512_bf16 amx_bf16", "mixed_bfloat16", False),
        ("fp asimd bf16", "mixed_bfloat16", False),  # Arm
        ("fpu sse avx2 fma", "float32", False),
        (None, "mixed_bfloat16", False),  # not told, as on a Mac
    ],
)
@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_bfloat16_without_instructions_for_it_is_slow(
    flags: str | None, policy: str, slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "PROCESSOR", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    assert backend.computes_slowly_in(policy) == slow


def test_training_says_that_bfloat16_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backend, "computes_slowly_in", lambda policy: policy == "mixed_bfloat16")
    quick = write_quick(tmp_path)
    done = run(capsys, "train", quick, "fit.epochs=1", "dtype_policy=mixed_bfloat16", "--out", tmp_path / "run")
    first = done.err.splitlines()[0]
    assert (
        first
        == "dltool: mixed_bfloat16 is slow on this processor, which has no instructions for it: dtype_policy=float32"
    )
    assert "slow" not in run(capsys, "train", quick, "fit.epochs=1", "--out", tmp_path / "other").err


def test_a_gpu_that_a_program_computes_on_already_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(gpu: str, growth: bool) -> None:
        asked.append((gpu, growth))
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    backend.configure()
    assert asked == [("a GPU", True)]


def test_asking_for_a_gpu_that_is_not_there_is_an_error() -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="sees no GPU"):
        backend.configure(device="gpu")


def test_keras_loads_without_the_packages_it_can_do_without() -> None:
    """In a process of its own: hidden while TensorFlow and Keras are imported, and only then."""
    code = """
import sys
from dltool.training import backend
backend.load()
print(sorted({"matplotlib", "pandas", "scipy", "sklearn"} & sys.modules.keys()))
import keras, numpy, pandas, scipy.signal, sklearn
x = numpy.random.default_rng(0).normal(size=256)
layer = keras.layers.STFTSpectrogram("magnitude", 64, 32, 64, window="hann", scaling=None)
got = numpy.asarray(layer(x[None, :, None].astype("float32")))[0]
frames = [x[i : i + 64] * scipy.signal.get_window("hann", 64, fftbins=False) for i in range(0, 193, 32)]
print(bool(numpy.allclose(got, abs(numpy.fft.rfft(frames)), atol=1e-3)), got.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True (7, 33)"]


def test_another_thread_imports_what_is_hidden_from_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = backend._Hidden()
    with pytest.raises(ModuleNotFoundError, match="No module named 'pandas'"):
        finder.find_spec("pandas", None)
    assert finder.find_spec("pandas.core", None) is None and finder.find_spec("numpy", None) is None
    elsewhere: list[object] = []
    thread = threading.Thread(target=lambda: elsewhere.append(finder.find_spec("pandas", None)))
    thread.start()
    thread.join()
    assert elsewhere == [None]

"""The only place that configures TensorFlow: messages, memory, device, precision, determinism, seeds."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from dltool.errors import UsageError, messages

PROCESSOR = Path("/proc/cpuinfo")
# Keras tries to import these and goes on without: for its scikit-learn wrappers, its picture galleries and tables given
# to `fit`, none of which dltool uses. They take 1 to 4 s, as much as half of TensorFlow's own time.
OPTIONAL_FOR_KERAS = frozenset({"matplotlib", "pandas", "scipy", "sklearn"})
BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # Intel's and AMD's; Arm's


def configure(
    *, device: str = "auto", dtype_policy: str | None = None, deterministic: bool = False, seed: int | None = None
) -> None:
    """Import TensorFlow quietly and set it up; called once, before any use of Keras.

    Args:
        device: "auto" (a GPU if there is one), "cpu" or "gpu".
        dtype_policy: Keras's global dtype policy, such as "mixed_bfloat16". Defaults to float32.
        deterministic: the same bits on every run of one machine; costs speed.
        seed: of Python, NumPy and TensorFlow; None leaves them.
    Raises:
        UsageError: the device is "gpu" and there is none.
    """
    if "tensorflow" not in sys.modules:
        messages.status("loading TensorFlow ...")
    load()
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
        tf.get_logger().setLevel("ERROR")  # it counts the graphs of one function, of which each model has its own
    # Keras 3.15 keeps dict inputs in a wrapper that its own check takes for another structure.
    warnings.filterwarnings("ignore", "The structure of `inputs` doesn't match", UserWarning)
    warnings.filterwarnings("ignore", "When providing `inputs` as a dict, all keys in the dict must match", UserWarning)
    if device == "gpu" and not gpus:
        raise UsageError(
            "--device gpu: TensorFlow sees no GPU. Install dltool[gpu] with NVIDIA's driver, or use --device cpu."
        )
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    else:
        for gpu in gpus:
            with suppress(RuntimeError):  # a program computes on it already: growth stays as it set it
                tf.config.experimental.set_memory_growth(gpu, True)
    from dltool.training import cudnn

    cudnn.compute_in_float32()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        _set_dtype_policy(dtype_policy or "float32")
    except ValueError as error:
        raise UsageError(f"dtype_policy '{dtype_policy}': {str(error).splitlines()[0]}") from error
    if seed is not None:
        keras.utils.set_random_seed(seed)


def load() -> None:
    """Import TensorFlow and Keras: quietly, and without the packages that Keras only imports if they are there."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN is on by default only where the CPU has AVX512 or AMX; with AVX2 alone it doubles convolutions too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _native_messages_held(), _optional_packages_hidden():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # prints what it looks for on the first call
        import keras  # noqa: F401


def computes_slowly_in(dtype_policy: str | None) -> bool:
    """Return whether a policy computes in bfloat16 without hardware instructions for it.

    There products take several times as long as in float32, with AMX a fraction. Where the system does not tell what
    the processor has, the answer is False.
    """
    if dtype_policy not in ("mixed_bfloat16", "bfloat16"):
        return False
    from dltool.ops.devices import has_gpu

    if has_gpu():
        return False
    try:
        words = set(PROCESSOR.read_text().split())
    except OSError:
        return False
    return not words & BFLOAT16_FLAGS


def make_gpu_deterministic(seed: int) -> None:
    """Make a GPU give the same bits on every run; set nothing without a GPU.

    Args:
        seed: of Python, NumPy and TensorFlow.
    """
    import keras
    import tensorflow as tf

    from dltool.ops.devices import has_gpu

    if has_gpu():
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(seed)


def begin_anew(seed: int, dtype_policy: str | None = None) -> None:
    """Forget the names and random numbers used so far, so that a model does not depend on what was built before.

    Args:
        dtype_policy: Keras's global dtype policy from now on; by default it stays.
    """
    import keras

    policy = dtype_policy or keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=False)
    _set_dtype_policy(policy)  # clear_session forgets it
    keras.utils.set_random_seed(seed)


def _set_dtype_policy(policy: Any) -> None:
    """Set Keras's global dtype policy; under float64 losses and metrics compute in float64 too."""
    import keras

    keras.config.set_dtype_policy(policy)
    name = policy if isinstance(policy, str) else policy.name
    keras.config.set_floatx("float64" if name == "float64" else "float32")


class _Hidden(MetaPathFinder):
    """Makes `OPTIONAL_FOR_KERAS` look as if they were not installed, to the thread that made it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in OPTIONAL_FOR_KERAS and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"No module named '{name}': not imported while Keras loads", name=name)


@contextmanager
def _optional_packages_hidden() -> Iterator[None]:
    """Hide the packages that are not imported yet; afterwards they are imported as ever."""
    finder = _Hidden()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _native_messages_held() -> Iterator[None]:
    """Hold back what TensorFlow's C++ prints to file descriptor 2 while it loads; show it if loading fails."""
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3":
        yield
        return
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ImportError:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)

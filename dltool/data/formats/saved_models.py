"""Keras models from files: opened only after their configuration was read and every object in it is on the list.

Keras builds whatever a configuration names; its safe mode keeps out Python code alone, and layers that run another
file's graph come through it. Here every class and function that a file names, at any depth, must be dltool's own or
one of Keras's that only compute.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dltool.errors import DataError, DltoolError, first_line
from dltool.errors.damage import check_sums

CONFIG, WEIGHTS, ASSETS = "config.json", ("model.weights.h5", "model.weights.npz"), "assets"
LARGEST_CONFIG = 2**26  # bytes; that of a vocabulary of a million words has a third of it
DEEPEST = 300  # levels; a nested model adds 4
LARGEST_EXPANSION = 100  # of the archive's size; Keras writes without compression
SMALL = 2**28  # bytes to which any archive may expand
LARGEST_HDF5 = 1_000_000  # groups and arrays
LONGEST = 300  # characters of what Keras says, which may quote a whole configuration
MEND = " Train again."

_trusted = {"dltool"}  # dltool and the modules of own Python that the user has named: their objects may be made
NAMESPACES = frozenset(f"keras{end}" for end in (
    "", ".constraints", ".dtype_policies", ".initializers", ".layers", ".losses", ".metrics", ".models", ".optimizers",
    ".optimizers.schedules", ".random", ".regularizers", ".utils",
))  # fmt: skip
COMPUTING = tuple(f"keras.src.{end}" for end in (  # where Keras's classes that only compute are defined
    "applications.", "constraints.", "dtype_policies.", "initializers.", "layers.activations.", "layers.attention.",
    "layers.convolutional.", "layers.core.dense", "layers.core.einsum_dense", "layers.core.embedding",
    "layers.core.identity", "layers.core.input_layer", "layers.core.masking", "layers.core.reversible_embedding",
    "layers.merging.", "layers.normalization.", "layers.pooling.", "layers.preprocessing.", "layers.regularization.",
    "layers.reshaping.", "layers.rnn.", "losses.", "metrics.", "models.functional", "models.model",
    "models.sequential", "ops.einops", "ops.image", "ops.linalg", "ops.math", "ops.nn", "ops.numpy", "optimizers.",
    "random.seed_generator", "regularizers.",
))  # fmt: skip
CORE = frozenset({"Cast", "ConvertToTensor", "SaturateCast", "Scatter", "ScatterUpdate", "Slice", "SliceUpdate",
                  "StopGradient", "Unstack"})  # fmt: skip # of keras.src.ops.core; the others take functions
TAKE_FUNCTIONS = frozenset({"JVP"})
FUNCTIONS = ("keras.activations", "keras.losses", "keras.metrics")
PLUMBING = frozenset({"deserialize", "get", "serialize"})
RUNS = {
    "Lambda": "Python code",
    "__lambda__": "Python code",
    "JaxLayer": "Python code",
    "FlaxLayer": "Python code",
    "TFSMLayer": "another file's graph",
    "TorchModuleWrapper": "a pickled PyTorch module",
}
PLAIN = frozenset({"__bytes__", "__ellipsis__", "__keras_tensor__", "__slice__"})
ARRAYS = frozenset({"__numpy__", "__tensor__"})
DTYPES = frozenset({"bool", "bfloat16", "float16", "float32", "float64", "string"}) | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


# Takes a module that a model names and registers its classes, if the module is of an installed plugin:
# `dltool.recipe.plugins` puts it here.
load_elsewhere: Callable[[str], object] | None = None


class RefusedModelError(DataError, ValueError):
    """A model's file would do more than compute; a `ValueError` too, for layers that open one in a notebook."""


def trust(module: str) -> None:
    """Put the registered objects of a module of own Python on the list: the user has named its file."""
    _trusted.add(module)


def load(path: Path, *, compile: bool = True, remedy: str = "") -> Any:
    """Open a .keras file whose objects are all on the list.

    Args:
        path: the file.
        compile: whether to compile the model as it was saved.
        remedy: what to do about a missing or damaged file, after a space.
    Raises:
        RefusedModelError: it names something that is not on the list.
        DataError: it is missing or damaged.
        UsageError: a plugin's module that it names fails.
    """
    import keras

    if not path.is_file():
        raise DataError(f"{path}: is missing.{remedy}")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: is cut short or damaged.{remedy}")
    try:
        check(path)
        check_sums(path)  # HDF5 reads here and there, past what `zipfile` checks by itself
        return keras.models.load_model(path, compile=compile, safe_mode=True)
    except (DltoolError, MemoryError):
        raise
    except Exception as error:  # Keras raises many kinds on a damaged archive
        raise DataError(
            f"{path}: is not a readable Keras model ({first_line(error)[:LONGEST]}).{remedy or MEND}"
        ) from error


def check(path: Path) -> None:
    """Raise if a .keras file holds what is not on the list; nothing is built.

    Raises:
        RefusedModelError: it does.
        Exception: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        _check_members(path, archive)
        with archive.open(CONFIG) as file:
            text = file.read(LARGEST_CONFIG + 1)
    if len(text) > LARGEST_CONFIG:
        raise RefusedModelError(f"{path}: has a {CONFIG} of more than {LARGEST_CONFIG:,} bytes; it is not loaded.")
    try:
        config = json.loads(text)
    except RecursionError:
        raise _too_deep(path) from None
    for refusal in _refusals(config, path):
        raise RefusedModelError(f"{path}: {refusal}; it is not loaded.")


def check_hdf5(path: Path) -> None:
    """Raise if an HDF5 file of weights leads to other files, by links or by arrays that are stored elsewhere.

    Raises:
        RefusedModelError: it does.
        OSError: it is no HDF5 file.
    """
    import h5py

    seen: set[Any] = set()
    with h5py.File(path, "r") as file:
        groups = [file["/"]]
        while groups:
            group = groups.pop()
            for name in group:
                where = f"{path}: '{group.name.rstrip('/')}/{name}'"
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise RefusedModelError(f"{where} is a link, no array; it is not loaded.")
                item = group[name]
                if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                    raise RefusedModelError(f"{where} is an array of another file; it is not loaded.")
                if isinstance(item, h5py.Group) and item.id not in seen:
                    groups.append(item)
                seen.add(item.id)
                if len(seen) > LARGEST_HDF5:
                    raise RefusedModelError(f"{path}: holds more than {LARGEST_HDF5:,} arrays; it is not loaded.")


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise if an archive is no saved model, or would expand beyond measure."""
    names = [info.filename for info in archive.infolist()]
    if CONFIG not in names or not {*WEIGHTS} & {*names}:
        raise DataError(f"{path}: is no saved Keras model (it lacks {CONFIG} or the weights).")
    for name in names:
        parts = PurePosixPath(name).parts
        is_asset = parts[:1] == (ASSETS,) and ".." not in parts and "\\" not in name
        if name not in {CONFIG, "metadata.json", *WEIGHTS} and not is_asset:
            raise RefusedModelError(f"{path}: holds a file '{name}', which Keras does not write; it is not loaded.")
    if len({*names}) < len(names):
        raise RefusedModelError(f"{path}: holds two files of one name; it is not loaded.")
    total = sum(info.file_size for info in archive.infolist())
    if total > max(SMALL, LARGEST_EXPANSION * path.stat().st_size):
        raise RefusedModelError(f"{path}: would expand to {total:,} bytes; it is not loaded.")


def _refusals(config: Any, path: Path) -> Iterator[str]:
    """Yield what a configuration holds that is not on the list, from the outside inwards."""
    import keras

    custom = keras.saving.get_custom_objects()
    level: list[Any] = [config]
    for _ in range(DEEPEST):
        if not level:
            return
        inner: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                if "class_name" in node and (refusal := _refusal(node, custom)):
                    yield refusal
                if isinstance(node.get("vocabulary"), str):
                    yield f"takes its vocabulary from another file, '{node['vocabulary']}'"
                inner += node.values()
            elif isinstance(node, list):
                inner += node
        level = [node for node in inner if isinstance(node, dict | list)]
    raise _too_deep(path)


def _refusal(node: dict[str, Any], custom: dict[str, Any]) -> str | None:
    """Return why a serialised object is refused, None if it is on the list.

    Args:
        node: as `keras.saving.serialize_keras_object` writes it.
        custom: the registered objects of this process, which Keras asks first.
    """
    name, module = node["class_name"], node.get("module")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return f"names an object that is no text, {json.dumps(name)[:80]}"
    if name in RUNS:
        return f"holds a {name} layer, {RUNS[name]} that would run on loading"
    if name in PLAIN:
        return None
    if name in ARRAYS:
        body = node.get("config")
        dtype = body.get("dtype") if isinstance(body, dict) else None
        return None if dtype in DTYPES else f"holds an array of {json.dumps(dtype)[:80]}"
    is_function = name == "function"
    if is_function:
        name = node.get("config")
        if not isinstance(name, str):
            return "names a function that is no text"
    key = name if is_function else node.get("registered_name", name)
    if not isinstance(key, str | None):
        return f"names an object that is no text, {json.dumps(key)[:80]}"
    if key not in custom and module is not None and load_elsewhere is not None:
        load_elsewhere(module)
    if key in custom:
        found = custom[key]
        home = getattr(found, "__module__", "")
        allowed = home in _trusted or home.partition(".")[0] in _trusted
    elif is_function:
        allowed = module in ("builtins", *FUNCTIONS) and _is_function(name)
    else:
        allowed = module is not None and _is_computing(module, name)
    if allowed:
        return None
    full = ">".join(part for part in (key,) if part and ">" in part) or ".".join(filter(None, (module, name)))
    kind = "function" if is_function else "class"
    return f"names the {kind} {full}, which is neither dltool's nor one of Keras's that only compute"


def _is_function(name: str) -> bool:
    """Return whether Keras has an activation, a loss or a metric of that name that is a function."""
    found = [vars(sys.modules[namespace]).get(name) for namespace in FUNCTIONS]
    return name not in PLUMBING and any(callable(one) and not isinstance(one, type) for one in found)


def _is_computing(module: str, name: str) -> bool:
    """Return whether a class of that place is one of Keras's that only compute."""
    if module not in NAMESPACES and not f"{module}.".startswith(("keras.src.ops.core.", *COMPUTING)):
        return False
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(found, type) or not hasattr(found, "from_config"):
        return False
    home = f"{found.__module__}."
    if home == "keras.src.ops.core.":
        return found.__name__ in CORE
    return home.startswith(COMPUTING) and found.__name__ not in TAKE_FUNCTIONS


def _too_deep(path: Path) -> RefusedModelError:
    return RefusedModelError(f"{path}: has a {CONFIG} of more than {DEEPEST} levels; it is not loaded.")

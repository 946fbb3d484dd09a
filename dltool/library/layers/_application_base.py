"""A net of `keras.applications` with the preprocessing that its weights need, as a layer of another net."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from dltool.library.layers._wiring import Composite

DOWNLOAD_FAILED = ("URL fetch failure", "Incomplete or corrupted file")  # how keras.utils.get_file begins


def with_preprocessing(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return a net's function in `keras.applications` with one more argument, `preprocessing`.

    `preprocessing` says whether images, pixels in [0, 255], go through the net's own `preprocess_input` first: true,
    false, or null, by which they do wherever the net has weights (`weights` not null), and which so can't be
    forgotten. Nets that have it inside (EfficientNet, ConvNeXt, MobileNetV3) get nothing more.

    The function raises ConnectionError where ImageNet's weights are neither in Keras's cache nor to be downloaded.
    """

    @functools.wraps(application)
    def make(preprocessing: bool | None = None, **arguments: Any) -> Any:
        from dltool.data.formats import saved_models
        from dltool.graph import keras_internals
        from dltool.library.layers.application_preprocessing import ApplicationPreprocessing
        from dltool.library.layers.pretrained import learned

        weights = arguments.get("weights", "imagenet")
        if keras_internals.in_stateless_scope():  # nothing is to have values: nothing is downloaded or read
            arguments["weights"] = None
        try:
            if str(arguments.get("weights")).endswith(".h5"):
                saved_models.check_hdf5(arguments["weights"])
            with contextlib.redirect_stdout(sys.stderr):  # to which Keras tells of a download
                net = application(**arguments)
        except Exception as error:
            broken = weights == "imagenet" and isinstance(error, OSError | HTTPException)  # while it was read
            if not broken and not str(error).startswith(DOWNLOAD_FAILED):
                raise
            raise ConnectionError(
                f"{application.__name__}: the weights '{weights}' are not in Keras's cache and can't be downloaded "
                f"({str(error).splitlines()[0]}). Go online once, or give weights: a file, or weights: null."
            ) from error
        if weights is not None:
            net = learned(net)
        layer = ApplicationPreprocessing(application.__name__, name=f"{net.name}_preprocessing")
        wanted = weights is not None if preprocessing is None else preprocessing
        return _Preprocessed(layer, net) if wanted and not layer.does_nothing else net

    own = inspect.signature(application).parameters.values()
    named = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    extra = inspect.Parameter("preprocessing", inspect.Parameter.KEYWORD_ONLY, default=None)
    make.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*named, extra]
    )
    return make


class _Preprocessed(Composite):
    """Preprocessing, then the net, side by side with the layers around them."""

    def __init__(self, layer: Any, net: Any) -> None:
        self.layer, self.net = layer, net

    def __call__(self, x: Any) -> Any:
        return self.net(self.layer(x))

    def copy(self) -> Composite:
        raise ValueError(f"{self.net.name} can't be repeated: its copies would share names and lose their weights.")

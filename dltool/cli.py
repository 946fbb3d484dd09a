"""The command line: signatures and help texts only; each body imports its command."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from dltool import __version__
from dltool.errors import DltoolError, Terminated

app = typer.Typer(
    name="dltool",
    help="A deep-learning course, runnable from a shell: recipes in, trained and evaluated models out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bundled = typer.Typer(
    help="List the bundled recipes, or copy one to change it.",
    invoke_without_command=True,
    no_args_is_help=False,
)
app.add_typer(bundled, name="recipes")


class Format(StrEnum):
    """How results are written: a table for people; CSV and JSON for programs."""

    table = "table"
    csv = "csv"
    json = "json"


class Mode(StrEnum):
    """What visualize-filters shows."""

    kernels = "kernels"
    maximise = "maximise"
    activations = "activations"
    top = "top"
    attribution = "attribution"
    inversion = "inversion"
    dream = "dream"


class Scaling(StrEnum):
    """What a kernel or feature map is scaled by: its own values or all of its layer's."""

    filter = "filter"
    shared = "shared"


class Sort(Enum):
    """The order of kernels on a sheet."""

    norm = "norm"
    index = "index"


class Bound(StrEnum):
    """What a maximised image keeps to: the data's pixel range, their mean norm, or nothing."""

    range = "range"
    norm = "norm"
    none = "none"


class Objective(StrEnum):
    """What is maximised of a feature map: its middle unit, or the mean of the channel."""

    unit = "unit"
    channel = "channel"


class Device(StrEnum):
    """Where TensorFlow computes."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


FormatOption = Annotated[Format, typer.Option("--format", help="How results are written to stdout.")]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto takes a GPU where there is one.")
]
TracebackOption = Annotated[
    bool, typer.Option("--traceback", help="Show Python's traceback with an error.", is_eager=True)
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dltool {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: TracebackOption = False,
) -> None:
    """A deep-learning course, runnable from a shell: recipes in, trained and evaluated models out."""


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's file, a bundled recipe's name, or a run directory.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Recipe values to replace: fit.epochs=5."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory. Default: runs/NAME, numbered if taken."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's saved state.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although the recipe differs from the run's.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and nothing else.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Train a recipe's model into a run directory, and print its figures."""
    from dltool.commands import train as command

    command.run(
        recipe,
        overrides or [],
        out=out,
        resume=resume,
        overwrite=overwrite,
        accept_changes=accept_changes,
        quiet=quiet,
        form=form.value,
        device=device.value,
        write=_write,
    )


@app.command("eval")
def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Run directories; several are also averaged.")],
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, validation, test or all. Default: test where there is one."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Other data than the run's: 'Csv: {path: new.csv, target: y}'."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help="A condition on every row, such as 'accuracy>=0.97'; unmet: exit status 3."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write a row an example: target, prediction, outputs; of several runs, their average's.",
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="With --format csv: figures of each class in place of the scores."),
    ] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Add the confusion matrix; alone in CSV.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --predictions file.")] = False,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Examples at a time.")] = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Evaluate runs: loss and metrics, figures a class, confusion; several runs also averaged."""
    from dltool.commands import eval as command

    command.run(
        runs,
        split=split,
        data=data,
        require=require or [],
        predictions=predictions,
        per_class=per_class,
        confusion=confusion,
        overwrite=overwrite,
        batch_size=batch_size,
        form=form.value,
        device=device.value,
        write=_write,
    )


@app.command()
def summary(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE|RUN", help="A recipe's file, a bundled recipe's name, or a run directory.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Recipe values to replace."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Examples, for the memory of activations.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="In place of the data's, which are then not needed: 224,224,3.")
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="With --input-shape: how many.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the graph: FILE.png or FILE.svg.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --plot file.")] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """Show what each layer gives and costs: shape, parameters, multiply-adds, receptive field, memory."""
    from dltool.commands import summary as command

    command.run(
        source,
        overrides or [],
        batch_size=batch_size,
        input_shape=input_shape,
        classes=classes,
        plot=plot,
        overwrite=overwrite,
        form=form.value,
        write=_write,
    )


@app.command("visualize-filters")
def visualize_filters(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    more_images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="More images, as after --images.")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="kernels: the weights. maximise: images that units answer to most. activations: feature maps of "
            "images. top: the training data's strongest patches of each unit. attribution: the pixels that count "
            "for a class. inversion: images from a layer's features. dream: more of what a layer sees.",
        ),
    ] = Mode.kernels,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", help="Layers by name or glob, 'conv*'. Default: convolutions, or the last of them."),
    ] = None,
    units: Annotated[str | None, typer.Option("--units", help="Units, such as 3,5,8:12. Default: 0:64.")] = None,
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Images to look at. Default: the first of the test split.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option("--examples", min=1, help="Training examples to search (all), or test examples to look at (4)."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder. Default: RUN/filters/MODE.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the pictures that are there.")] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Also show small pictures in the terminal.")] = False,
    scaling: Annotated[
        Scaling | None, typer.Option("--scaling", help="Scale kernels and maps each by itself (filter) or by layer.")
    ] = None,
    sort: Annotated[Sort | None, typer.Option("--sort", help="The order of kernels. Default: norm.")] = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also a film of the kernels over the checkpoints that the run kept.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Of ascent or descent. Default: 256; of a dream's octave 20.")
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Their size. Default: 0.05; of a dream 0.02.")] = None,
    l2: Annotated[
        float | None, typer.Option("--l2", min=0, help="Penalty of squared deviations from the mean. Default: 2.")
    ] = None,
    total_variation: Annotated[
        float | None,
        typer.Option("--total-variation", min=0, help="Penalty of differences of neighbours. Default: 2."),
    ] = None,
    blur: Annotated[
        float | None, typer.Option("--blur", min=0, help="Pixels of Gaussian blur after every step. Default: 0.")
    ] = None,
    jitter: Annotated[
        int | None, typer.Option("--jitter", min=0, help="Pixels of random shift. Default: 0; of a dream 2.")
    ] = None,
    rotation: Annotated[
        float | None, typer.Option("--rotation", min=0, help="Degrees of random turn at every step. Default: 0.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", min=0, help="Random enlargement, 0.1 for up to 10 %. Default: 0.")
    ] = None,
    fourier: Annotated[bool, typer.Option("--fourier", help="Climb in the image's spectrum, not its pixels.")] = False,
    bound: Annotated[
        Bound | None,
        typer.Option("--bound", help="Keep to the data's pixel range (default), to their mean norm, or to none."),
    ] = None,
    objective: Annotated[
        Objective | None,
        typer.Option("--objective", help="Of a feature map, maximise the middle unit (default) or the channel's mean."),
    ] = None,
    diversity: Annotated[
        int | None, typer.Option("--diversity", min=1, help="Images a unit, kept unlike each other. Default: 1.")
    ] = None,
    snapshots: Annotated[
        int | None, typer.Option("--snapshots", min=2, help="Also a film (GIF) of the ascent with so many frames.")
    ] = None,
    octaves: Annotated[int | None, typer.Option("--octaves", min=1, help="Of a dream. Default: 3.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="Of attribution: gradient, smoothgrad, guided, deconvnet, integrated-gradients, grad-cam, occlusion, "
            "or several with commas. Default: all that the model allows.",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="The class that attribution asks about. Default: the predicted one.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal bytes.")] = 0,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Examples at a time.")] = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Draw what a run's filters are and answer to: PNG sheets, an index.html and a manifest, and a table."""
    from dltool.commands import visualize_filters as command

    options = command.Options(
        layers=layers or None,
        units=units,
        images=[*(images or ()), *(more_images or ())] or None,
        examples=examples,
        scaling=scaling and scaling.value,
        sort=sort and sort.value,
        checkpoints=checkpoints or None,
        steps=steps,
        rate=rate,
        l2=l2,
        total_variation=total_variation,
        blur=blur,
        jitter=jitter,
        rotation=rotation,
        scale=scale,
        fourier=fourier or None,
        bound=bound and bound.value,
        objective=objective and objective.value,
        diversity=diversity,
        snapshots=snapshots,
        octaves=octaves,
        method=method,
        target=target,
        seed=seed,
    )
    command.run(
        run,
        mode.value,
        options,
        out=out,
        overwrite=overwrite,
        terminal=terminal,
        batch_size=batch_size,
        form=form.value,
        device=device.value,
        write=_write,
    )


@bundled.callback()
def recipes(context: typer.Context, form: FormatOption = Format.table, traceback: TracebackOption = False) -> None:
    """List the bundled recipes, or copy one to change it."""
    if context.invoked_subcommand is None:
        from dltool.commands import recipes as command

        command.list_bundled(form=form.value, write=_write)


@bundled.command("copy")
def recipes_copy(
    name: Annotated[str, typer.Argument(help="A bundled recipe's name, such as cnn/lenet5.")],
    folder: Annotated[Path, typer.Argument(help="Where to copy it.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    traceback: TracebackOption = False,
) -> None:
    """Copy a bundled recipe and what it extends; print the copy's path."""
    from dltool.commands import recipes as command

    command.copy(name, folder, overwrite=overwrite, write=_write)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every error ends in one line on stderr and its exit status.

    Args:
        arguments: by default the process's.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminated)
    try:
        status: Any = _run(arguments)
        if status == 130:  # what typer makes of Ctrl-C
            _say("interrupted")
    except DltoolError as error:
        _say(str(error))
        status = error.status
    except KeyboardInterrupt:
        _say("interrupted")
        status = 130
    except Terminated:
        _say("terminated")
        status = 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has left
        status = 141
    except typer.Abort:
        _say("interrupted")
        status = 130
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's usage errors
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "dltool"
            _say(f"{command}: {error.format_message()} See '{command} --help'.")
            status = 2
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            _say(f"{error.filename}: {error.strerror}")
            status = 2
        elif isinstance(error, MemoryError):
            _say("out of memory")
            status = 1
        else:
            _say(f"{type(error).__name__}: {error}\nThis is a fault of dltool: please report it with --traceback.")
            status = 1
    _exit(status)


def _run(arguments: Sequence[str]) -> Any:
    """The command's status; under --traceback an error is also shown in full."""
    try:
        return app(arguments, standalone_mode=False)
    except BaseException:
        if "--traceback" in arguments:
            from traceback import print_exc

            print_exc()
        raise


def _say(message: str) -> None:
    print(f"dltool: {message}" if "\n" not in message else message, file=sys.stderr)


def _exit(status: Any) -> NoReturn:
    sys.exit(status if isinstance(status, int) else 0)


def _terminated(number: int, frame: Any) -> None:
    raise Terminated

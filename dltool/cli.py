"""The command line: signatures and help texts only; each body imports its command."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
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


class Axis(StrEnum):
    """What the horizontal axis counts."""

    steps = "steps"
    epochs = "epochs"


@app.command("lr-schedule")
def lr_schedule(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="(RECIPE|RUN|'SPEC' [KEY=VALUE]...)...",
            help="Recipes, runs or schedules ('StepDecay: {initial_learning_rate: 0.1, decay_steps: 500}'), each "
            "followed by the values to replace in it.",
        ),
    ],
    at: Annotated[
        list[str] | None, typer.Option("--at", help="Values at a step, or at '3.5 epochs'; may be repeated.")
    ] = None,
    every: Annotated[str | None, typer.Option("--every", help="Values every so many steps, or '1 epoch'.")] = None,
    axis: Annotated[Axis, typer.Option("--x", help="What the horizontal axis counts.")] = Axis.steps,
    log: Annotated[bool, typer.Option("--log", help="Draw on a logarithmic scale.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="The monitored metric for ReduceLROnPlateau: 0.9,0.7,0.7,... or a CSV file."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps of a schedule given alone.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", min=0, help="Epochs of a schedule given alone.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option("--steps-per-epoch", min=1, help="Steps an epoch of a schedule given alone.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw into a .png or .svg file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --plot file.")] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """Show the learning rate as training will use it: curve, key points, warnings; nothing is trained."""
    from dltool.commands import lr_schedule as command

    command.run(
        sources,
        steps=steps,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        at=at or [],
        every=every,
        axis=axis.value,
        log=log,
        metrics=metrics,
        plot=plot,
        overwrite=overwrite,
        form=form.value,
        width=shutil.get_terminal_size().columns - 2,
        write=_write,
        say=_say,
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

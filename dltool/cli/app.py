"""The command line: signatures and help texts only; each body imports its command."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from dltool import __version__
from dltool.cli import quick_start
from dltool.cli.command_class import Command, usage_line
from dltool.errors import DltoolError, Terminated, UsageError, messages
from dltool.errors.control_characters import visible, visible_lines

quick_start.use()
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


FINDING = "Range test"  # the panel of lr-schedule --find's options
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
    recipe: Annotated[
        str, typer.Argument(help="A recipe's file, - for standard input, a bundled recipe's name, or a run directory.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Recipe values to replace: fit.epochs=5."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory. Default: runs/NAME, numbered if taken."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's saved state.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that dltool wrote.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although the recipe differs from the run's.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and nothing else.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Train a recipe's model into a run directory, and print its figures."""
    from dltool.cli import train as command

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
        write=messages.write,
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
        typer.Option(
            "--require",
            help="A condition on every row, 'accuracy>=0.97', or their average, 'mean:accuracy>=0.97'; else status 3.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write a CSV row an example: its file or row, target, prediction and probabilities by class name; "
            "of several runs, their average's.",
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="With --format csv: figures of each class in place of the scores."),
    ] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Add the confusion matrix; alone in CSV.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that dltool wrote.")] = False,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Examples at a time.")] = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Evaluate runs: loss and metrics, figures a class, confusion; several runs also averaged."""
    from dltool.cli import eval as command

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
        write=messages.write,
        say=messages.say,
    )


@app.command()
def summary(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|RUN",
            help="A recipe's file, - for standard input, a bundled recipe's name, or a run directory.",
        ),
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """Show what each layer gives and costs: shape, parameters, multiply-adds, receptive field, memory."""
    from dltool.cli import summary as command

    command.run(
        source,
        overrides or [],
        batch_size=batch_size,
        input_shape=input_shape,
        classes=classes,
        plot=plot,
        overwrite=overwrite,
        form=form.value,
        write=messages.write,
    )


class Sweep(StrEnum):
    """How the rates of a range test are spaced."""

    exponential = "exponential"
    linear = "linear"


class Rule(StrEnum):
    """How a rate is read off the curve of a range test."""

    minimum = "minimum/10"
    steepest = "steepest"
    valley = "valley"
    slide = "slide"


class Axis(StrEnum):
    """What the horizontal axis counts."""

    steps = "steps"
    epochs = "epochs"


@app.command("lr-schedule")
def lr_schedule(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE [KEY=VALUE]...",
            help="Recipes, runs or schedules ('StepDecay: {initial_learning_rate: 0.1, decay_steps: 500}'), each "
            "followed by the values to replace in it.",
        ),
    ],
    at: Annotated[
        list[str] | None, typer.Option("--at", help="Values at a step, or at '3.5 epochs'; may be repeated.")
    ] = None,
    every: Annotated[str | None, typer.Option("--every", help="Values every so many steps, or '1 epoch'.")] = None,
    axis: Annotated[
        Axis | None, typer.Option("--x", help="What the horizontal axis counts.", show_default="steps")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Draw on a logarithmic scale.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="The monitored metric for ReduceLROnPlateau: 0.9,0.7,0.7,... or a CSV file."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps of a schedule given alone, or of --find (100).")
    ] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", min=0, help="Epochs of a schedule given alone.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option("--steps-per-epoch", min=1, help="Steps an epoch of a schedule given alone.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw into a .png or .svg file.")] = None,
    find: Annotated[
        bool,
        typer.Option(
            "--find", help="Range test: train a little while the rate rises, and suggest one.", rich_help_panel=FINDING
        ),
    ] = False,
    start: Annotated[
        float | None, typer.Option("--from", help="The lowest rate.", show_default="1e-6", rich_help_panel=FINDING)
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", help="The highest rate.", show_default="10", rich_help_panel=FINDING)
    ] = None,
    sweep: Annotated[
        Sweep | None,
        typer.Option("--sweep", help="How the rate rises.", show_default="exponential", rich_help_panel=FINDING),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="Sweeps: a range in place of one number.", show_default="1", rich_help_panel=FINDING
        ),
    ] = None,
    rule: Annotated[
        Rule | None,
        typer.Option("--rule", help="Whose rate --write takes.", show_default="minimum/10", rich_help_panel=FINDING),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(
            "--smoothing", help="Share of the past in the smoothed loss.", show_default="0.9", rich_help_panel=FINDING
        ),
    ] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Read the loss of a validation batch.", rich_help_panel=FINDING)
    ] = False,
    patch: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="PATCH.yaml",
            help="A recipe that extends this one with the rate.",
            rich_help_panel=FINDING,
        ),
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option("--device", help="Where --find computes.", show_default="auto", rich_help_panel=FINDING),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """Show the learning rate as training will use it: curve, key points, warnings; nothing is trained.

    With --find, find a rate on the recipe's model and data instead.
    """
    finding: dict[str, Any] = {
        "--from": start,
        "--to": stop,
        "--sweep": sweep,
        "--seeds": seeds,
        "--rule": rule,
        "--write": patch,
    }
    finding |= {"--smoothing": smoothing, "--validation": validation, "--device": device}
    showing: dict[str, Any] = {
        "--at": at,
        "--every": every,
        "--x": axis,
        "--log": log,
        "--metrics": metrics,
        "--epochs": epochs,
    }
    showing |= {"--steps-per-epoch": steps_per_epoch}
    if find:
        _refuse(showing, "does not go with --find")
        from dltool.cli import lr_find

        lr_find.run(
            sources[0],
            sources[1:],
            start=1e-6 if start is None else start,
            stop=10.0 if stop is None else stop,
            steps=steps or 100,
            spacing=(sweep or Sweep.exponential).value,
            seeds=seeds or 1,
            rule=(rule or Rule.minimum).value,
            smoothing=0.9 if smoothing is None else smoothing,
            validation=validation,
            plot=plot,
            patch=patch,
            overwrite=overwrite,
            form=form.value,
            device=(device or Device.auto).value,
            write=messages.write,
        )
        return
    _refuse(finding, "goes with --find")
    from dltool.cli import lr_schedule as command

    command.run(
        sources,
        steps=steps,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        at=at or [],
        every=every,
        axis=(axis or Axis.steps).value,
        log=log,
        metrics=metrics,
        plot=plot,
        overwrite=overwrite,
        form=form.value,
        width=shutil.get_terminal_size().columns - 2,
        write=messages.write,
        say=messages.say,
    )


class Input(StrEnum):
    """What a model is measured on."""

    data = "data"
    gaussian = "gaussian"


@app.command("init-stats")
def init_stats(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's file, - for standard input, a bundled recipe's name, or a run directory.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Recipe values to replace: model.1.Dense.units=64."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", help="Show the layers that a glob matches: 'conv*', 'encoder/*'; may be repeated."),
    ] = None,
    batches: Annotated[
        int | None, typer.Option("--batches", min=1, help="Training batches to measure on.", show_default="4")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="Draw weights and batches so many times: mean and spread.", show_default="1"
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option("--steps", help="Measure after so many updates of training: '0,1,10'.", show_default="0"),
    ] = None,
    input_: Annotated[
        Input | None,
        typer.Option(
            "--input",
            help="The recipe's data, or a unit Gaussian in the place of the model's input.",
            show_default="data",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Initialisers side by side: glorot_uniform,he_normal,lecun_normal,orthogonal."),
    ] = None,
    compare_activation: Annotated[
        str | None, typer.Option("--compare-activation", help="Activations side by side: relu,tanh,sigmoid.")
    ] = None,
    batch_norm: Annotated[
        str | None, typer.Option("--batch-norm", help="Batch normalisation side by side: with,without.")
    ] = None,
    depths: Annotated[
        str | None, typer.Option("--depths", help="How often a repeated block is repeated: 5,10,30,50.")
    ] = None,
    widths: Annotated[str | None, typer.Option("--widths", help="Units of a repeated block: 64,256.")] = None,
    lsuv: Annotated[
        Path | None,
        typer.Option("--lsuv", metavar="OUT", help="Repair the weights to unit variance; write a run to start from."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="With --lsuv: |variance - 1| that is good enough.", show_default="0.01"),
    ] = None,
    attempts: Annotated[
        int | None,
        typer.Option("--attempts", min=1, help="With --lsuv: rescalings of a layer at most.", show_default="10"),
    ] = None,
    check_gradients: Annotated[
        bool,
        typer.Option("--check-gradients", help="Reverse mode against forward mode and central differences."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Draw the distributions through depth (of six models at most) into a .png or .svg file."
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require", help="A condition on every model, such as 'gradient_ratio<1e3'; unmet: exit status 3."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file or run that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Measure a model before it trains: signals, gradients and weights of each layer, beside what theory predicts.

    The model sees batches of training with its own loss and optimizer, forward and back, and is left as it is. A run
    is measured with its trained weights. The verdict is healthy, vanishing, exploding, saturated or dying.

    Figures for --require: loss, penalty (regularisation's part of it), chance (the loss of a guess), loss_to_chance,
    first_to_last (gradient dL/dz of the first layer with a kernel by the last's, its norm over positions and time),
    gradient_ratio (how many fold these two differ, either way), time_ratio (how many fold dL/dh of a recurrent layer's
    first and last time step differ, of the worst layer), weight_first_to_last, signal_last_to_first (standard
    deviations of z), update_to_weight, dead_units and saturated (shares, of the worst hidden layer), nan and inf (of
    signals and gradients), identical_units (copies that stay equal).
    """
    variants = {"--compare": compare, "--compare-activation": compare_activation, "--batch-norm": batch_norm}
    variants |= {"--depths": depths, "--widths": widths}
    measuring = {
        **variants,
        "--seeds": seeds,
        "--steps": steps,
        "--input": input_,
        "--plot": plot,
        "--require": require,
    }
    if check_gradients:
        _refuse(
            {**measuring, "--layers": layers, "--batches": batches, "--lsuv": lsuv, "--overwrite": overwrite},
            "does not go with --check-gradients",
        )
        from dltool.cli import gradient_check

        _refuse({"--tolerance": tolerance, "--attempts": attempts}, "goes with --lsuv")
        gradient_check.run(recipe, overrides or [], form=form.value, device=device.value, write=messages.write)
        return
    if lsuv is not None:
        _refuse(measuring, "does not go with --lsuv")
        from dltool.cli import lsuv as repair

        repair.run(
            recipe,
            overrides or [],
            out=lsuv,
            layers=layers or ["*"],
            batches=batches,
            tolerance=0.01 if tolerance is None else tolerance,
            attempts=attempts or 10,
            overwrite=overwrite,
            form=form.value,
            device=device.value,
            write=messages.write,
        )
        return
    _refuse({"--tolerance": tolerance, "--attempts": attempts}, "goes with --lsuv")
    from dltool.cli import init_stats as command

    command.run(
        recipe,
        overrides or [],
        layers=layers or [],
        batches=batches or 4,
        seeds=seeds or 1,
        steps=steps or "0",
        gaussian=input_ is Input.gaussian,
        compare=compare,
        compare_activation=compare_activation,
        batch_norm=batch_norm,
        depths=depths,
        widths=widths,
        plot=plot,
        require=require or [],
        overwrite=overwrite,
        form=form.value,
        device=device.value,
        write=messages.write,
    )


@app.command()
def percentiles(
    runs: Annotated[list[Path], typer.Argument(help="Run directories whose recipe has ActivationPercentiles.")],
    file: Annotated[str, typer.Option("--file", help="The callback's filename.")] = "percentiles.csv",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the runs side by side: FILE.png or FILE.svg.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """Show how a layer's activations moved during training, as ActivationPercentiles recorded it; runs side by side."""
    from dltool.cli import percentiles as command

    command.run(runs, file=file, plot=plot, overwrite=overwrite, form=form.value, write=messages.write)


@app.command()
def generate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of a language model.")],
    prompt: Annotated[str | None, typer.Option("--prompt", help="What the text begins with.")] = None,
    length: Annotated[
        int | None,
        typer.Option("--length", min=1, help="Tokens (characters, words or pieces) to write.", show_default="1000"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0, help="Below 1 bolder, above 1 wilder; 0: the likeliest.", show_default="1"
        ),
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the fewest tokens that together reach probability P.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Equal seeds give equal texts.", show_default="0"),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Texts to write, drawn side by side.", show_default="1")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="FILE", help="In place of writing: nats a character of a text; - reads stdin."),
    ] = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Let a language model write: text on stdout as it is drawn. Or score a text with --score.

    With --format csv or json, and with several samples, all is written at the end.
    """
    from dltool.cli import generate as command

    if score is not None:
        writing: dict[str, Any] = {"--prompt": prompt, "--length": length, "--temperature": temperature}
        writing |= {"--top-k": top_k, "--top-p": top_p, "--seed": seed, "--samples": samples}
        _refuse(writing, "does not go with --score")
        command.score(run, score, form=form.value, device=device.value, write=messages.write)
        return
    sampling = command.Sampling(
        length=length or 1000,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed or 0,
        samples=samples or 1,
    )
    command.run(
        run, prompt=prompt or "", sampling=sampling, form=form.value, device=device.value, write=messages.write_text
    )


@app.command()
def translate(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN... [TEXT]", help="Run directories, which decode together; then perhaps a text."),
    ],
    to: Annotated[str | None, typer.Option("--to", metavar="LANG", help="The language, of runs of several.")] = None,
    input_: Annotated[
        Path | None, typer.Option("--input", "-i", help="Lines to translate, plain or .gz. Default: standard input.")
    ] = None,
    beam_size: Annotated[int, typer.Option("--beam-size", min=1, help="Hypotheses kept; 1 is greedy.")] = 5,
    length_penalty: Annotated[
        float, typer.Option("--length-penalty", min=0, help="0 prefers short translations, more prefers longer ones.")
    ] = 1.0,
    n_best: Annotated[
        int | None,
        typer.Option("--n-best", min=1, help="So many translations of each line, each after the line's number."),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Write each translation's score before it.")] = False,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, help="Tokens of a translation.", show_default="twice the source's + 10"),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Lines that are searched together.")] = 128,
    replace_unknown: Annotated[
        bool, typer.Option("--replace-unknown", help="Copy unknown pieces from where attention lies.")
    ] = False,
    attention: Annotated[
        Path | None, typer.Option("--attention", metavar="DIR", help="Write each line's alignment: PNG and JSON.")
    ] = None,
    show_attention: Annotated[
        bool, typer.Option("--show-attention", help="Draw each line's alignment on stderr.")
    ] = False,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Right translations, a line each: BLEU and chrF on stderr.")
    ] = None,
    by_length: Annotated[
        bool, typer.Option("--by-length", help="With --reference: also by length of the source.")
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="With --reference: how figures are written.", show_default="table"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace alignments that dltool wrote.")] = False,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Translate: a line on stdout for every line read, as they come.

    With --n-best or --scores columns are divided by tabs: line's number, score, translation.
    """
    from dltool.cli import translate as command

    if reference is None:
        _refuse({"--by-length": by_length, "--format": form}, "needs --reference")
    if attention is None:
        _refuse({"--overwrite": overwrite}, "needs --attention")
    judgement = None
    if reference is not None:
        judgement = command.Judgement(reference, by_length, (form or Format.table).value)
    command.run(
        runs,
        to=to,
        input_=input_,
        search=command.Search(beam_size, length_penalty, n_best or 1, max_length, batch_size, replace_unknown),
        output=command.Output(scores, n_best is not None, attention, show_attention, overwrite),
        judgement=judgement,
        device=device.value,
        write=messages.write_text,
        say=messages.tell,
    )


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
    units: Annotated[
        str | None,
        typer.Option("--units", help="Units, such as 3,5,8:12; ranges end at the layer's last unit. Default: 0:64."),
    ] = None,
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Images to look at. Default: the first of the test split.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option("--examples", min=1, help="Training examples to search (all), or test examples to look at (4)."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder. Default: RUN/filters/MODE.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures that dltool wrote.")] = False,
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
        float | None, typer.Option("--blur", min=0, help="Pixels of Gaussian blur after every fourth step. Default: 0.")
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
        int | None,
        typer.Option(
            "--snapshots", min=2, help="Also a film (GIF) of the ascent with so many frames, at most --steps."
        ),
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
    from dltool.cli import visualize_filters as command

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
        write=messages.write,
    )


@app.command("visualize-augmentation")
def visualize_augmentation(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|RUN [KEY=VALUE]...", help="Recipes or runs, each followed by the values to replace in it."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: FILE.png.")] = Path("augmentation.png"),
    examples: Annotated[int, typer.Option("--examples", min=1, max=64, help="Training images to show.")] = 6,
    draws: Annotated[int, typer.Option("--draws", min=1, max=20, help="Augmentations of each.")] = 6,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
    traceback: TracebackOption = False,
) -> None:
    """Draw training images beside what the recipe's data.augment makes of them, with their mixed targets."""
    from dltool.cli import visualize_augmentation as command

    command.run(
        sources,
        out=out,
        examples=examples,
        draws=draws,
        overwrite=overwrite,
        form=form.value,
        device=device.value,
        write=messages.write,
    )


@bundled.callback()
def recipes(
    context: typer.Context,
    datasets: Annotated[
        bool, typer.Option("--datasets", help="List the datasets that a recipe may name, with their arguments.")
    ] = False,
    form: FormatOption = Format.table,
    traceback: TracebackOption = False,
) -> None:
    """List the bundled recipes, or copy one to change it."""
    if context.invoked_subcommand is None and datasets:
        from dltool.cli import dataset_list

        dataset_list.run(form=form.value, write=messages.write)
    elif context.invoked_subcommand is None:
        from dltool.cli import recipes as command

        command.list_bundled(form=form.value, write=messages.write)


@bundled.command("copy")
def recipes_copy(
    name: Annotated[str, typer.Argument(help="A bundled recipe's name, such as cnn/lenet5.")],
    folder: Annotated[Path, typer.Argument(help="Where to copy it.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a copy that nobody has edited.")] = False,
    traceback: TracebackOption = False,
) -> None:
    """Copy a bundled recipe and what it extends; print the copy's path."""
    from dltool.cli import recipes as command

    command.copy(name, folder, overwrite=overwrite, write=messages.write)


def _refuse(options: Mapping[str, Any], why: str) -> None:
    """Raise if options were given that would be ignored."""
    given = [name for name, value in options.items() if value is not None and value is not False and value != []]
    if given:
        raise UsageError(*(f"{name} {why}" for name in given))


for registered in (*app.registered_commands, *bundled.registered_commands):
    registered.cls = Command


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every error ends in one line on stderr and its exit status.

    Args:
        arguments: by default the process's.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    warnings.formatwarning = _format_warning
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminated)
    messages.begin()
    try:
        status: Any = _run(arguments)
        if status == 130:  # what typer makes of Ctrl-C
            messages.say("interrupted")
    except DltoolError as error:
        messages.say(str(error))
        status = error.status
    except KeyboardInterrupt:
        messages.say("interrupted")
        status = 130
    except Terminated:
        messages.say("terminated")
        status = 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has left
        status = 141
    except typer.Abort:
        messages.say("interrupted")
        status = 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # typer has shown the help
            status = 2
        elif hasattr(error, "format_message"):  # typer's usage errors
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "dltool"
            messages.say(visible(usage_line(error.format_message(), command)))
            status = 2
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            messages.say(visible(f"{error.filename}: {error.strerror}"))
            status = 2
        elif isinstance(error, MemoryError):
            messages.say("out of memory")
            status = 1
        else:
            remedy = "This is a fault of dltool: please report it with --traceback."
            messages.say(f"{type(error).__name__}: {error}\n{remedy}")
            status = 1
    messages.show_status(False)
    _exit(status)


def _run(arguments: Sequence[str]) -> Any:
    """The command's status; under --traceback an error is also shown in full."""
    if not arguments or {"--help", "-h"} & {*arguments}:
        quick_start.import_help()
    try:
        return _asked(arguments)(arguments, standalone_mode=False, prog_name="dltool")
    except BaseException:
        messages.clear()
        if "--traceback" in arguments:
            from traceback import format_exc

            print(visible_lines(format_exc()), file=sys.stderr)
        raise


def _asked(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line with the first argument's command alone: making all of them takes longer."""
    first = next(iter(arguments), "")
    commands = [
        info for info in app.registered_commands if first == (info.name or getattr(info.callback, "__name__", ""))
    ]
    groups = [info for info in app.registered_groups if info.name == first]
    if len(commands) + len(groups) != 1:
        return app
    one = copy.copy(app)
    one.registered_commands, one.registered_groups = commands, groups
    return one


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as Python shows it, without the line of code; Keras's may quote what a file holds."""
    return f"{filename}:{lineno}: {category.__name__}: {visible_lines(str(message))}\n"


def _exit(status: Any) -> NoReturn:
    sys.exit(status if isinstance(status, int) else 0)


def _terminated(number: int, frame: Any) -> None:
    raise Terminated

"""--mode attribution: the pixels that count for a class, with figures that say how far to trust the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError, messages
from dltool.filters import choice
from dltool.filters.options import Options, Rows, Shown, usable

if TYPE_CHECKING:
    from dltool.filters.source import Source

TAKES = ("images", "examples", "method", "target", "layers")
APART = {"random-weights check in the literature": ("known",)}
KNOWN = {  # of that check, whatever it finds here
    "guided": "fails (Adebayo et al., 2018)",
    "deconvnet": "fails (Sixt et al., 2020)",
}


def show(source: Source, options: Options) -> Shown:
    """Draw one sheet of all images and methods.

    Return rows of the methods, of their random-weights checks, and of all images.
    """
    import numpy as np

    from dltool.filters.attribution_pictures import attribution_picture
    from dltool.filters.class_logits import ClassLogits
    from dltool.filters.deletion import DeletionScore
    from dltool.filters.methods import attribute
    from dltool.filters.randomisation import randomisation, verdicts

    if not source.facts.get("num_classes"):
        raise UsageError(f"{source}: is no classifier. --mode attribution shows what counts for a class.")
    names, images = choice.images(source, options)
    with usable():
        classifier = ClassLogits(source.model)
    names_of_classes = source.facts.get("class_names") or ()
    count = classifier.classes
    words = [str(word) for word in (names_of_classes if len(names_of_classes) == count else range(count))]
    classes = predicted = classifier.predicted(images)
    if options.target is not None:
        classes = np.full(len(images), _class(options.target, words))
    methods, left_out = _methods(source, options)
    own = _own_options(source, options, methods)
    score = DeletionScore(source.model, baseline=source.pixels.low, seed=options.seed)
    maps, deletions = {}, {}
    for method in methods:
        messages.say(f"{method} of {len(images)} images")
        with usable():
            maps[method] = attribute(source.model, images, classes, method, **own.get(method, {}))
        deletions[method] = score(images, classes, maps[method])
    messages.say("the same with random weights")
    with usable():
        checks = randomisation(source.model, images, classes, methods, seed=options.seed, options=own)
    true = choice.labels(source, options, len(images))
    rows: Rows = []
    for number, name in enumerate(names):
        for method in methods:
            row: dict[str, Any] = {"image": name, "class": words[classes[number]], "method": method}
            row["predicted"] = words[predicted[number]]
            if true is not None:
                row["true"] = words[true[number]]
            row["deletion"] = float(deletions[method].scores[number])
            row["random_deletion"] = float(deletions[method].random_scores[number])
            rows.append(row)
    passed = verdicts(checks)
    table: Rows = []
    for method, one in deletions.items():
        means = {"deletion": float(one.scores.mean()), "random_deletion": float(one.random_scores.mean())}
        checked = {"random_weights_check": passed[method], "known": KNOWN.get(method)}
        table.append({"method": method, **means, **checked})
    captions = []
    for number, index in enumerate(predicted):
        caption = [f"predicted {words[index]}"]
        if true is not None:
            caption.append(f"true {words[true[number]]}")
        if options.target is not None:
            caption.append(f"maps of {words[classes[number]]}")
        captions.append("\n".join(caption))
    scores = {method: one.scores for method, one in deletions.items()}
    pictures = [attribution_picture(names, images, captions, maps, scores, passed, source.pixels)]
    report = {"methods": table, "random weights": checks, "images": rows}
    return pictures, report | ({"left out": left_out} if left_out else {})


def _methods(source: Source, options: Options) -> tuple[list[str], Rows]:
    """Return the methods of --method, by default all possible ones, and why others are left out."""
    from dltool.filters.methods import applicable, methods

    with usable():
        reasons = applicable(source.model)
    if options.method is None:
        left_out = [{"method": method, "reason": reason} for method, reason in reasons.items() if reason]
        return [method for method, reason in reasons.items() if not reason], left_out
    asked = [method.strip() for method in options.method.split(",")]
    for method in asked:
        if method not in reasons:
            raise UsageError(f"--method {method}: no such method. There are {', '.join(methods())}.")
        if reasons[method]:
            raise UsageError(f"--method {method}: {reasons[method]}")
    return list(dict.fromkeys(asked)), []


def _own_options(source: Source, options: Options, methods: list[str]) -> dict[str, dict[str, Any]]:
    """Return the options of methods: black as the baseline, the seed, and grad-cam's layer."""
    black = float(source.pixels.low)
    own: dict[str, dict[str, Any]] = {
        "integrated-gradients": {"baseline": black},
        "occlusion": {"baseline": black},
        "smoothgrad": {"seed": options.seed},
    }
    if options.layers:
        chosen = choice.layers(source, options, [])
        if "grad-cam" not in methods or len(chosen) != 1:
            raise UsageError("--layers: with --mode attribution one layer, which grad-cam is to look at")
        own["grad-cam"] = {"layer": chosen[0].path}
    return {method: value for method, value in own.items() if method in methods}


def _class(text: str, words: list[str]) -> int:
    if text in words:
        return words.index(text)
    raise UsageError(f"--target {text}: no such class. There are {', '.join(words)}.")

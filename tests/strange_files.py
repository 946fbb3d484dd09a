"""A folder of forty files as users have them, and what tells that nothing of it was touched."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from pathlib import Path

TEXTS = (
    "recipe.yaml", "model.keras", "history.csv", "metrics.json", "environment.json", "data.json", "bases.json",
    "history.png", "percentiles.csv", "manifest.json", "dltool.json", "index.html", "kernels-first.png",
    "000001.json", "000001.png", "digits.yaml", "p.csv", "plot.png", "plot.svg", "patch.yaml", "augmentation.png",
    "checkpoint/best.pt", "checkpoint/best-1.npz", "checkpoint/state.npz", "vocabulary/words.json", "filters/a.png",
    ".hidden", ".gitignore", ".recipe.yaml.20240101", ".writing-1.keras", "umläut %.csv", "two words.png",
    "line\nend.csv", "-o.png", "n" * 250 + ".csv", "logs/events", "mlp/digits.yaml", "UPPER.PNG", "no ending",
)  # fmt: skip


def strange_files(folder: Path) -> Path:
    """Make the folder: files named as dltool's, hidden, empty and read-only ones, links, a pipe and a socket."""
    outside = folder.parent / "outside"
    (outside / "kept").mkdir(parents=True)
    (outside / "precious.txt").write_text("precious")
    folder.mkdir()
    for name in TEXTS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"mine: {name[:20]}\n")
    (folder / "empty.csv").touch()
    (folder / "empty.png").touch()
    (folder / "read-only.csv").write_text("index,target,prediction\n")
    (folder / "read-only.csv").chmod(0o444)
    (folder / "bytes.svg").write_bytes(bytes(range(256)))
    (folder / "folder.png").mkdir()
    for name, target in (
        ("link.csv", "p.csv"), ("link.png", outside / "precious.txt"), ("link", "."), ("dangling.csv", "nothing"),
        ("dangling.png", "nothing"), ("dangling", "nothing"), ("away", outside), ("loop.csv", "loop.csv"),
    ):  # fmt: skip
        (folder / name).symlink_to(target)
    os.link(folder / "p.csv", folder / "hard.csv")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket has 108 bytes at most
        bound.bind("socket.csv")
        os.chdir(here)
    return folder


def snapshot(*folders: Path) -> dict[str, tuple[object, ...]]:
    """Return kind, mode, link and content of everything below folders."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        status = path.lstat()
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        found[str(path)] = (oct(status.st_mode), content, status.st_ino)
    return found

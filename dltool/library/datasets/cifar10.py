"""The CIFAR-10 photographs."""

from __future__ import annotations

from dltool.data.formats.cifar_batches import Layout
from dltool.data.formats.cifar_files import CifarLike


class Cifar10(CifarLike):
    """60,000 photographs of 10 classes: x uint8 (n, 32, 32, 3) RGB; y int32 (n,) in 0..9.

    Parts "train" (50,000) and "test" (10,000), read from the published batches (python or binary, as folders
    or .tar.gz) or from class folders of images (train/<class>/<image>, or train.tar.gz or train.zip with such
    members; classes.txt in the same folder may give the label order). Training pixels / 255 have means (0.4914,
    0.4822, 0.4465).

    Args:
        path: folder of the files. Defaults to $DLTOOL_DATA/cifar10, then the Keras cache, then the download
            into it.
    Raises:
        FileNotFoundError: if `path` does not exist or holds none of these files; on reading, if the download fails.
        ValueError: on reading, if a file is damaged.
    Limits: class folders are sorted by class, so shuffle; JPEG copies differ slightly from the published
        pixels.
    Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto,
        2009.
    """

    layout = Layout(
        stem="cifar-10",
        batches={"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]},
        label_keys=("labels",),
    )
    folder = "cifar10"
    folder_classes = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    label_key = "labels"

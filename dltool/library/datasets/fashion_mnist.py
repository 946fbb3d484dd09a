"""The Fashion-MNIST photographs of clothing."""

from __future__ import annotations

from dltool.data.formats.mnist_files import MnistLike


class FashionMnist(MnistLike):
    """70,000 grey pictures of clothing: x uint8 (n, 28, 28, 1), 0 = background; y int32 (n,) in 0..9.

    Parts "train" (60,000) and "test" (10,000), read from IDX files, gzipped or not.

    Args:
        path: folder of the files. Defaults to $DLTOOL_DATA/fashion_mnist, $DLTOOL_DATA/fashion-mnist,
            $DLTOOL_DATA/FashionMNIST/raw, then the Keras cache, then the download into it.
    Raises:
        FileNotFoundError: if `path` does not exist or holds none of these files; on reading, if the download fails.
        ValueError: on reading, if a file is damaged.
    Limits: the files have MNIST's names; dltool does not notice MNIST in their place.
    Reference: Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747.
    """

    folders = ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw")
    cached = "fashion-mnist"
    keras_name = "fashion_mnist"
    published = {"train": (6000,) * 10, "test": (1000,) * 10}
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

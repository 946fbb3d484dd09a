"""The MNIST handwritten digits."""

from __future__ import annotations

from dltool.data.formats.mnist_files import MnistLike


class Mnist(MnistLike):
    """70,000 handwritten digits: x uint8 (n, 28, 28, 1), 0 = background, 255 = ink; y int32 (n,) in 0..9.

    Parts "train" (60,000) and "test" (10,000), read from IDX files, gzipped or not, or from mnist.npz.
    Training pixels / 255 have mean 0.1307 and standard deviation 0.3081.

    Args:
        path: folder of the files. Defaults to $DLTOOL_DATA/mnist, $DLTOOL_DATA/MNIST/raw, then the Keras
            cache, then the download into it.
    Raises:
        FileNotFoundError: if `path` does not exist or holds no MNIST files; on reading, if the download
            fails.
        ValueError: on reading, if a file is damaged.
    Limits: solved to below 0.5 % error by small convolutional nets; differences between good models drown in
        the noise of seeds.
    Reference: LeCun, Bottou, Bengio & Haffner, 1998, Proceedings of the IEEE 86(11), 2278-2324.
    """

    folders = ("mnist", "MNIST/raw")
    cached = "mnist.npz"
    keras_name = "mnist"
    class_names = tuple(str(digit) for digit in range(10))
    published = {
        "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    }

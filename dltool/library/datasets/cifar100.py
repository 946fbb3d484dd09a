"""The CIFAR-100 photographs."""

from __future__ import annotations

import os

from dltool.data import arguments
from dltool.data.formats.cifar_batches import Layout
from dltool.data.formats.cifar_files import CifarLike

# The 20 coarse classes with their fine ones; labels of both count in alphabetical order.
CLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
COARSE_OF = {fine: coarse for coarse, names in CLASSES.items() for fine in names.split()}
COARSE = sorted(CLASSES)


class Cifar100(CifarLike):
    """60,000 photographs of 100 classes: x uint8 (n, 32, 32, 3) RGB; y int32 (n,).

    Parts "train" (50,000) and "test" (10,000), read from the published batches (python or binary, as folders
    or .tar.gz) or from class folders of images named by the fine classes (train/<class>/<image>,
    train.tar.gz).

    Args:
        path: folder of the files. Defaults to $DLTOOL_DATA/cifar100, then the Keras cache, then the download
            into it.
        label_mode: "fine" (y in 0..99) or "coarse" (y in 0..19). Defaults to "fine".
    Raises:
        FileNotFoundError: if `path` does not exist or holds none of these files; on reading, if the download fails.
        ValueError: if `label_mode` is neither; on reading, if a file is damaged.
    Limits: 500 training images a fine class; some pairs of classes are hard to distinguish at this size.
    Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto,
        2009.
    """

    layout = Layout(
        stem="cifar-100",
        batches={"train": ["train"], "test": ["test"]},
        label_keys=("coarse_labels", "fine_labels"),
    )
    folder = "cifar100"
    folder_classes = sorted(COARSE_OF)

    def __init__(self, path: str | os.PathLike | None = None, label_mode: str = "fine"):
        self.label_mode = arguments.choice("Cifar100", "label_mode", label_mode, ("fine", "coarse"))
        self.label_key = f"{label_mode}_labels"
        super().__init__(path)

    def class_names(self) -> list[str]:
        return super().class_names() if self.label_mode == "fine" else COARSE

    def label_of_folder(self, label: int) -> int:
        return label if self.label_mode == "fine" else COARSE.index(COARSE_OF[self._folder_names[label]])

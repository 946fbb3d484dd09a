"""ImageFolder: layouts, pixels against Pillow and Keras, archives that must not be trusted."""

import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from dltool.data.formats import image_headers, members
from dltool.library.datasets.image_folder import ImageFolder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path / "cache"))


def _image(mode="RGB", size=(6, 5), seed=0):
    bands = len(Image.new(mode, (1, 1)).getbands())
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(array[..., 0] if bands == 1 else array, mode)


def _bytes(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _write(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


PNG = _bytes(_image())
FLAT = {"cat/0.png": PNG, "cat/1.png": PNG, "dog/0.png": PNG}


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        (FLAT, {"train": 3}),
        ({f"pets/{k}": v for k, v in FLAT.items()}, {"train": 3}),
        ({f"pets/test/{k}": v for k, v in FLAT.items()}, {"train": 3}),  # an archive of the test part alone
        ({f"train/{k}": v for k, v in FLAT.items()} | {"val/cat/0.png": PNG}, {"train": 3, "validation": 1}),
        (
            {f"pets/{p}/{k}": v for k, v in FLAT.items() for p in ("train", "valid", "test")},
            {"train": 3, "validation": 3, "test": 3},
        ),
        (FLAT | {"cat/deep/er/2.png": PNG}, {"train": 4}),
        (
            {f"Train/{k}": v for k, v in FLAT.items()} | {"TEST/cat/0.png": PNG, "Validation/dog/0.png": PNG},
            {"train": 3, "validation": 1, "test": 1},
        ),
        ({f"Training/{k}": v for k, v in FLAT.items()} | {"Testing/cat/0.png": PNG}, {"train": 3, "test": 1}),
        ({f"pets/TRAIN/{k}": v for k, v in FLAT.items()} | {"pets/Val/cat/0.png": PNG}, {"train": 3, "validation": 1}),
        (
            FLAT | {".DS_Store": b"x", "cat/Thumbs.db": b"x", "dog/._0.png": b"x", ".git/a": b"x", "README": b"x"},
            {"train": 3},
        ),
    ],
)
def test_layouts(tmp_path, files, sizes):
    dataset = ImageFolder(_write(tmp_path / "root", files), image_size=(5, 6))
    assert dataset.sizes() == sizes
    assert dataset.facts() == {"input_shape": (5, 6, 3), "num_classes": 2, "class_names": ["cat", "dog"]}
    assert set(dataset.labels("train")) == {0, 1}


@pytest.mark.parametrize("word", ["train", "Train", "test", "val"])
def test_a_folder_of_a_part_s_name_that_holds_images_is_a_class(tmp_path, word):
    files = {f"{word}/0.png": PNG, "plane/0.png": PNG, "ship/0.png": PNG, "ship/1.png": PNG}
    dataset = ImageFolder(_write(tmp_path, files))
    assert dataset.sizes() == {"train": 4}
    assert dataset.facts()["class_names"] == sorted([word, "plane", "ship"])
    assert ImageFolder(_write(tmp_path / "top" / "pets", files).parent).facts()["num_classes"] == 3


def test_the_size_of_images_that_agree_is_the_default(tmp_path):
    sizes = {"cat/0.png": (6, 5), "cat/1.jpg": (6, 5), "dog/0.gif": (6, 5), "dog/1.bmp": (6, 5), "dog/2.webp": (6, 5)}
    for part in ("train", "test"):
        for name, size in sizes.items():
            kind = name.partition(".")[2].upper().replace("JPG", "JPEG")
            _write(tmp_path, {f"{part}/{name}": _bytes(_image(size=size), kind)})
    assert ImageFolder(tmp_path).facts()["input_shape"] == (5, 6, 3)
    assert ImageFolder(tmp_path).read("test").x.shape == (5, 5, 6, 3)
    _write(tmp_path, {"test/dog/3.png": _bytes(_image(size=(7, 4)))})
    said = r"differ in size: .*0\.png is 5 x 6 \(rows x columns\), .*3\.png is 4 x 7\. Give 'image_size', .*\[5, 6\]"
    with pytest.raises(ValueError, match=said):
        ImageFolder(tmp_path).facts()
    assert ImageFolder(tmp_path).sizes() == {"train": 5, "test": 6}
    assert ImageFolder(tmp_path, image_size=(3, 2)).facts()["input_shape"] == (3, 2, 3)


def test_classes_fix_the_label_order(tmp_path):
    root = _write(tmp_path / "root", FLAT)
    assert ImageFolder(root, classes=["dog", "cat"]).labels("train").tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        (FLAT, {"classes": ["cat", "dgo"]}, "no class folder 'dgo' of 'classes'. Did you mean 'dog'"),
        (FLAT, {"classes": ["cat"]}, "1 class folder, at least 2"),
        (FLAT | {"emu/1.png": PNG}, {"classes": ["cat", "dog"]}, "emu is no known class folder"),
        ({"cat/0.png": PNG}, {}, "has 1 class folder, at least 2"),
        ({"a.txt": b"x"}, {}, "has 0 class folders"),
        (FLAT | {"emu/.hidden": b"x"}, {}, "class folder .*emu holds no images"),
        (FLAT | {"cat/notes.txt": b"hello"}, {}, "notes.txt is no JPEG, PNG, GIF, BMP, WebP image"),
        (FLAT | {"cat/fake.png": b"hello"}, {}, "fake.png is no JPEG"),
        (FLAT | {"loose.png": PNG}, {}, "loose.png is an image outside of a class folder"),
        (
            {f"train/{k}": v for k, v in FLAT.items()} | {"extra/a": b"x"},
            {},
            "extra lies next to the folder 'train'",
        ),
        (
            {f"{p}/{k}": v for k, v in FLAT.items() for p in ("train", "val", "valid")},
            {},
            "validation part twice, val and valid",
        ),
        (
            {f"{p}/{k}": v for k, v in FLAT.items() for p in ("train", "TRAIN")},
            {},
            "the train part twice, TRAIN and train",
        ),
        (
            {f"{p}/{k}": v for k, v in FLAT.items() for p in ("Test", "val")},
            {},
            "parts Test and val, but no folder 'train'",
        ),
        ({"train/0.png": PNG, "test/0.png": PNG}, {}, "train/0.png is an image outside of a class folder"),
        (
            {f"train/{k}": v for k, v in FLAT.items()} | {"test/cta/0.png": PNG},
            {},
            "cta is no known class folder. Did you mean 'cat'",
        ),
    ],
)
def test_folders_that_are_no_dataset_are_named(tmp_path, files, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        ImageFolder(_write(tmp_path / "root", files), **arguments).sizes()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 32}, "'image_size' .* two ints"),
        ({"image_size": (0, 3)}, "'image_size' .* int > 0. Got 0"),
        ({"color_mode": "RGB"}, "'color_mode' .* 'grayscale', 'rgb', 'rgba'. Got 'RGB'"),
        ({"interpolation": "linear"}, "'interpolation'"),
        ({"crop_to_aspect_ratio": 1}, "'crop_to_aspect_ratio'"),
        ({"classes": "cat"}, "'classes'"),
        ({"classes": ["cat", "cat"]}, "without repeated names"),
    ],
)
def test_wrong_arguments_are_errors(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(_write(tmp_path, FLAT), **arguments)


def _read_one(folder, data, **arguments):
    _write(folder, {"a/0": data, "b/0": data})
    return ImageFolder(folder, **arguments).read("train").x[0]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize(("color_mode", "target"), [("grayscale", "L"), ("rgb", "RGB"), ("rgba", "RGBA")])
def test_colour_modes_convert_as_pillow_does(tmp_path, mode, color_mode, target):
    image = _image(mode, seed=3)
    x = _read_one(tmp_path, _bytes(image), image_size=(5, 6), color_mode=color_mode)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x, np.asarray(image.convert(target)).reshape(x.shape))


def _variants():
    """Encoded images of 17 x 33 pixels, by name: what Pillow writes of each format, and what it does not write."""
    rgb, rgba = _image("RGB", (33, 17), 1), _image("RGBA", (33, 17), 2)
    found = {}
    for kind in ("JPEG", "BMP", "GIF", "PNG", "WEBP"):
        for mode in ("1", "L", "RGB", "CMYK"):
            if (kind, mode) not in {("BMP", "CMYK"), ("GIF", "CMYK"), ("PNG", "CMYK"), ("WEBP", "CMYK")}:
                found[f"{kind} {mode}"] = _bytes(rgb.convert(mode), kind)
    for colours in (2, 3, 16, 200):  # 1, 4 and 8 bits a pixel in BMP
        image = rgb.quantize(colours)
        for kind in ("BMP", "GIF", "PNG"):
            found[f"{kind} of {colours} colours"] = _bytes(image, kind)
        for kind in ("GIF", "PNG"):
            found[f"{kind} of {colours} colours, one transparent"] = _bytes(image, kind, transparency=1)
    found |= {f"{kind} RGBA": _bytes(rgba, kind) for kind in ("PNG", "WEBP", "BMP")}
    found["PNG LA"], found["JPEG progressive"] = _bytes(rgba.convert("LA")), _bytes(rgb, "JPEG", progressive=True)
    found["PNG L, one transparent"] = _bytes(rgb.convert("L"), transparency=7)
    found["PNG RGB of 16 bits"] = _png(rgb, 16, 2)
    for kind in ("GIF", "WEBP", "PNG"):
        found[f"{kind} animated"] = _bytes(rgb, kind, save_all=True, append_images=[rgb.rotate(180)])
    found["BMP from the top"] = _from_the_top(_bytes(rgb, "BMP"))
    found["BMP of 16 bits"] = _bmp(rgb, 16)
    gif = bytearray(_bytes(rgb.quantize(16), "GIF"))
    gif[6:10] = (40).to_bytes(2, "little") + (20).to_bytes(2, "little")  # a frame smaller than the picture
    return found, {"GIF with a part": bytes(gif)}


def _png(image, depth, colour):
    """A PNG whose samples have 16 bits, the lower 8 other than the upper."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = np.asarray(image).astype(">u2") * 256 + 77
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", *image.size, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _from_the_top(data):
    """The BMP of 24 bits with its rows from the top, of which a negative height tells."""
    offset, (columns, rows) = struct.unpack("<I", data[10:14])[0], struct.unpack("<ii", data[18:26])
    stride = -(-columns * 3 // 4) * 4
    lines = [data[offset + row * stride :][:stride] for row in range(rows)]
    return data[:22] + struct.pack("<i", -rows) + data[26:offset] + b"".join(reversed(lines))


def _bmp(image, bits):
    """A BMP of 5 bits a colour."""
    red, green, blue = (np.asarray(image)[::-1, :, i].astype("<u2") >> 3 for i in range(3))
    raw = b"".join(row.tobytes() + b"\0" * (-row.nbytes % 4) for row in red << 10 | green << 5 | blue)
    head = struct.pack("<IiiHHIIiiII", 40, *image.size, 1, bits, 0, len(raw), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(raw), 0, 0, 54) + head + raw


VARIANTS, ODD_SIZES = _variants()


@pytest.mark.parametrize(("color_mode", "target"), [("grayscale", "L"), ("rgb", "RGB"), ("rgba", "RGBA")])
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_every_variant_of_the_formats_gives_the_pixels_that_pillow_gives(tmp_path, color_mode, target):
    files = {f"a/{name}": data for name, data in (VARIANTS | ODD_SIZES).items()}
    dataset = ImageFolder(_write(tmp_path, files | {"b/0": PNG}), image_size=(17, 33), color_mode=color_mode)
    found = dict(zip(sorted(files), dataset.read("train").x, strict=False))
    wrong = []
    for name, data in files.items():
        image = Image.open(io.BytesIO(data)).convert(target)
        twin = np.asarray(image).reshape(image.height, image.width, -1)
        expected = twin if image.size == (33, 17) else _resized(twin)
        if np.abs(found[name].astype(int) - expected).max() > (image.size != (33, 17)):
            wrong.append(name)
    assert not wrong
    assert dataset.unreadable("train") is None
    order = np.array([0, len(files) - 1, 3])
    streamed = [x for x, _ in dataset.stream("train", order).as_numpy_iterator()]
    np.testing.assert_array_equal(np.stack(streamed), dataset.read("train").x[order])


def _resized(pixels):
    import tensorflow as tf

    return np.round(tf.image.resize(pixels, (17, 33)).numpy())


def test_of_16_bits_of_grey_the_upper_8_are_kept(tmp_path):
    grey = np.arange(17 * 33, dtype=np.uint16).reshape(17, 33) * 117
    data = _bytes(Image.fromarray(grey))
    x = _read_one(tmp_path, data, color_mode="grayscale")
    np.testing.assert_array_equal(x[..., 0], grey // 256)


def test_sizes_are_told_from_headers_as_pillow_tells_them(tmp_path):
    for number, (name, data) in enumerate((VARIANTS | ODD_SIZES).items()):
        (tmp_path / str(number)).write_bytes(data)
        image = Image.open(io.BytesIO(data))
        assert image_headers.size(str(tmp_path / str(number))) == (image.height, image.width), name
        assert image_headers.coding(str(tmp_path / str(number))).kind.upper() == name.split()[0]


def test_only_what_tensorflow_decodes_otherwise_goes_through_python(tmp_path):
    rare = {"BMP 1", "BMP L", "BMP RGBA", "BMP of 16 bits", "WEBP animated"}
    for name, data in (VARIANTS | ODD_SIZES).items():
        (tmp_path / "0").write_bytes(data)
        expected = (
            name in rare or "BMP of" in name or (name.startswith("GIF") and ("transparent" in name or "part" in name))
        )
        assert image_headers.coding(str(tmp_path / "0")).is_rare == expected, name


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_resizing_is_that_of_keras(tmp_path, crop, interpolation):
    import keras

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for i, name in enumerate("ab"):
        _image(size=(31 + 8 * i, 22), seed=i).save(tmp_path / name / "0.png")
    arguments = {"image_size": (12, 13), "interpolation": interpolation, "crop_to_aspect_ratio": crop}
    x = ImageFolder(tmp_path, **arguments).read("train").x
    twin = keras.utils.image_dataset_from_directory(tmp_path, batch_size=2, shuffle=False, verbose=False, **arguments)
    expected = np.clip(np.round(next(iter(twin))[0].numpy()), 0, 255)
    assert np.abs(x - expected).max() <= (1 if crop else 0)


def test_streams_follow_the_order_and_keep_it(tmp_path):
    files = {f"{c}/{i}.png": _bytes(Image.new("RGB", (4, 4), (i, k, 0))) for k, c in enumerate("ab") for i in range(20)}
    dataset = ImageFolder(_write(tmp_path, files), image_size=(4, 4))
    names = sorted(f"{i}.png" for i in range(20))
    reds = [int(n.removesuffix(".png")) for n in names] * 2
    order = np.random.default_rng(0).permutation(40)
    streamed = list(dataset.stream("train", order).as_numpy_iterator())
    assert [int(x[0, 0, 0]) for x, _ in streamed] == [reds[i] for i in order]
    assert [int(y) for _, y in streamed] == (order >= 20).astype(int).tolist()
    assert dataset.stream("train", order).element_spec[0].shape == (4, 4, 3)


@pytest.mark.parametrize("data", [PNG[:-40], _bytes(_image(size=(64, 64)), "JPEG")[:600]])
def test_a_truncated_image_is_named(tmp_path, data):
    dataset = ImageFolder(_write(tmp_path, FLAT | {"dog/bad.png": data}), image_size=(5, 6))
    assert dataset.sizes() == {"train": 4}
    assert "bad.png is no readable image" in dataset.unreadable("train")
    with pytest.raises(ValueError, match="bad.png is no readable image") as caught:
        dataset.read("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PNG[:-4], "Invalid PNG data"),  # its last four bytes are a checksum, which Pillow does without
    ],
)
def test_an_image_that_pillow_alone_can_read_is_named(tmp_path, data, reason):
    Image.open(io.BytesIO(data)).load()
    dataset = ImageFolder(_write(tmp_path, FLAT | {"dog/bad.png": data}), image_size=(5, 6))
    line = dataset.unreadable("train")
    assert f"bad.png is no readable image ({reason}" in line and line.endswith("): replace or remove it.")
    assert "function_node" not in line and "[Op" not in line and "\n" not in line
    with pytest.raises(ValueError, match="bad.png is no readable image") as caught:
        dataset.read("train")
    assert str(caught.value) == line


def _archive(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, data in files.items():
                file.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as file:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar.gz", "pets.tgz", "pets.tar"])
def test_archives_are_extracted_once(tmp_path, name, monkeypatch):
    path = _archive(tmp_path / name, {f"pets/{k}": v for k, v in FLAT.items()} | {"__MACOSX/cat/0.png": b"x"})
    assert ImageFolder(path).sizes() == {"train": 3}
    monkeypatch.setattr(members, "_extract", lambda *_: pytest.fail("extracted again"))
    assert ImageFolder(path).sizes() == {"train": 3}
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_archive_is_extracted_anew(tmp_path):
    path = _archive(tmp_path / "pets.zip", FLAT)
    assert ImageFolder(path).sizes() == {"train": 3}
    _archive(path, FLAT | {"dog/9.png": PNG})
    assert ImageFolder(path).sizes() == {"train": 4}


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png"])
@pytest.mark.parametrize("archive", ["a.zip", "a.tar.gz"])
def test_members_outside_the_archive_are_refused(tmp_path, name, archive):
    path = _archive(tmp_path / archive, FLAT | {name: PNG})
    with pytest.raises(ValueError, match="points outside the archive"):
        ImageFolder(path).sizes()
    assert not list(tmp_path.rglob("evil.png")) and not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("cat/0.png")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(ValueError, match="is a link or device"):
        ImageFolder(tmp_path / "a.tar").sizes()


def test_links_in_zip_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        info = zipfile.ZipInfo("cat/0.png")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        ImageFolder(tmp_path / "a.zip").sizes()


def test_an_archive_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    path = _archive(tmp_path / "a.zip", FLAT)
    monkeypatch.setattr(members.shutil, "disk_usage", lambda _: type("Usage", (), {"free": members._RESERVE + 100}))
    with pytest.raises(OSError, match="does not fit on the disk"):
        ImageFolder(path).sizes()
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar"])
def test_a_truncated_archive_is_named(tmp_path, name):
    noise = np.random.default_rng(0).bytes(20000)
    path = _archive(tmp_path / name, FLAT | {"cat/n.png": noise})
    path.write_bytes(path.read_bytes()[:12000])
    with pytest.raises(ValueError, match="is cut short or damaged"):
        ImageFolder(path).sizes()
    assert not list((tmp_path / "cache").iterdir())


def test_names_that_are_no_utf_8_are_read_of_files_and_refused_of_classes(tmp_path):
    for part in ("train", "test"):
        for name in ("one", "two"):
            folder = tmp_path / "x" / part / name
            folder.mkdir(parents=True)
            picture = Image.fromarray(np.full((4, 4), 9 if name == "one" else 200, np.uint8))
            with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:  # Latin-1
                picture.save(file, "PNG")
    data = ImageFolder(tmp_path / "x", image_size=(4, 4), color_mode="grayscale")
    stream = data.stream("train", np.arange(2))
    assert sorted(int(np.asarray(x).max()) for x, _ in stream) == [9, 200]
    assert all(path.endswith(r"caf\xe9.png") for path in data.origins("train")[1])
    (tmp_path / "x/train/two").rename(tmp_path / os.fsdecode(b"x/train/tw\xf6"))
    with pytest.raises(ValueError, match="the folder's name is no UTF-8: rename it"):
        ImageFolder(tmp_path / "x", image_size=(4, 4), color_mode="grayscale").facts()

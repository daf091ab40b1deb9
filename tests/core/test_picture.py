"""Picture files of every kind, and the host's IMAGE, become uint8 RGB; bad ones are refused."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image

from fantasyid_core.face import load_picture, picture_from_image
from fantasyid_core.face.picture import FILL, MAX_PIXELS, MIN_SIDE

RAMP = np.add.outer(np.arange(70) * 2, np.arange(80)).astype(np.uint8)  # [70,80], 0..217, all sides differ


def saved(folder, image, name="picture.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def colour():
    return np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def test_rgb_file_is_read_bit_for_bit(tmp_path):
    picture = load_picture(saved(tmp_path, Image.fromarray(colour())))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, colour())


# What the camera stored, for each EXIF orientation, when the upright picture is `upright`.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](colour())))
    np.testing.assert_array_equal(load_picture(saved(tmp_path, stored, exif=exif)), colour())


def test_alpha_is_composited_onto_the_fill_of_the_release(tmp_path):
    alpha = np.zeros_like(RAMP)
    alpha[:, 40:] = 255
    alpha[:5] = 128
    picture = load_picture(saved(tmp_path, Image.fromarray(np.dstack([colour(), alpha]))))
    np.testing.assert_array_equal(picture[5:, :40], np.broadcast_to(FILL, (65, 40, 3)))
    np.testing.assert_array_equal(picture[5:, 40:], colour()[5:, 40:])
    mixed = (colour()[:5] * 128.0 + np.array(FILL) * 127.0) / 255
    assert np.abs(picture[:5] - mixed).max() <= 1


def test_grey_with_alpha_and_transparent_colours(tmp_path):
    clear = Image.merge("LA", [Image.fromarray(RAMP), Image.new("L", (80, 70), 0)])
    assert (load_picture(saved(tmp_path, clear)) == FILL).all()
    palette = Image.fromarray(np.repeat([[0, 1]], 70, axis=0).repeat(40, axis=1).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    picture = load_picture(saved(tmp_path, palette, "palette.png", transparency=0))
    assert (picture[:, :40] == FILL).all() and (picture[:, 40:] == (200, 100, 50)).all()
    opaque = load_picture(saved(tmp_path, palette, "opaque.png"))
    assert (opaque[:, :40] == (10, 20, 30)).all()


def test_one_channel_and_one_bit(tmp_path):
    np.testing.assert_array_equal(
        load_picture(saved(tmp_path, Image.fromarray(RAMP))), RAMP[..., None].repeat(3, -1)
    )
    bits = load_picture(saved(tmp_path, Image.fromarray(RAMP > 100), "bits.png"))
    np.testing.assert_array_equal(bits[..., 1], np.where(RAMP > 100, 255, 0))


def test_cmyk(tmp_path):
    ink = Image.new("CMYK", (80, 70), (0, 255, 255, 0))  # magenta and yellow make red
    picture = load_picture(saved(tmp_path, ink, "ink.tiff")).astype(int)
    assert (picture[..., 0] > 240).all() and (picture[..., 1:] < 15).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    deep = (RAMP.astype(np.uint16) * 257 + 100).astype(np.uint16)
    picture = load_picture(saved(tmp_path, Image.fromarray(deep), name))
    np.testing.assert_array_equal(picture[..., 0], np.round(deep / 257))
    np.testing.assert_array_equal(picture[..., 0], RAMP)


def test_thirty_two_bit_integers_and_floats(tmp_path):
    integers = Image.fromarray(RAMP.astype(np.int32) * 257)
    np.testing.assert_array_equal(load_picture(saved(tmp_path, integers, "i.tiff"))[..., 2], RAMP)
    floats = Image.fromarray((RAMP / 255).astype(np.float32))
    np.testing.assert_array_equal(load_picture(saved(tmp_path, floats, "f.tiff"))[..., 2], RAMP)


@pytest.mark.parametrize("value", [70000.0, -1.0, float("nan"), 1.5])
def test_floats_of_another_range_are_refused(tmp_path, value):
    floats = np.full((70, 80), 0.5, np.float32)
    floats[3, 3] = value
    with pytest.raises(ValueError, match=r"hdr.tiff holds pixel values .*expected 0..1 "):
        load_picture(saved(tmp_path, Image.fromarray(floats), "hdr.tiff"))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no picture at .*nobody.jpg"):
        load_picture(tmp_path / "nobody.jpg")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        load_picture(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture at all\n" * 50, b"\x89PNG\r\n\x1a\n" + b"\0" * 60])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="fake.jpg cannot be read as a picture .*expected a complete JPEG"):
        load_picture(path)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.tiff", "cut.bmp", "cut.gif"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_files_are_refused(tmp_path, name, kept):
    noise = np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)  # it hardly compresses
    path = saved(tmp_path, Image.fromarray(noise), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"{name} cannot be read as a picture"):
        load_picture(path)


@pytest.mark.parametrize("size", [(1, 1), (MIN_SIDE - 1, 500), (500, MIN_SIDE - 1)])
def test_tiny_pictures_are_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels: expected at least {MIN_SIDE}"):
        load_picture(saved(tmp_path, Image.new("RGB", size)))


def test_picture_of_twenty_thousand_pixels_width_is_read(tmp_path):
    wide = load_picture(saved(tmp_path, Image.new("RGB", (20000, 300), (9, 200, 30)), "wide.jpg"))
    assert wide.shape == (300, 20000, 3)
    assert np.abs(wide[0, 0].astype(int) - (9, 200, 30)).max() <= 2


def png_of_size(width, height):
    """A PNG that only claims its size, so that the test needs no memory for it."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("error")  # PIL's own warning about large pictures must not surface
@pytest.mark.parametrize("width, height", [(20000, 20000), (20000, 5001), (12000, 9000)])
def test_enormous_pictures_are_refused_before_decoding(tmp_path, width, height):
    path = tmp_path / "enormous.png"
    path.write_bytes(png_of_size(width, height))
    with pytest.raises(ValueError, match=f"enormous.png .*expected at most {MAX_PIXELS // 10**6} million"):
        load_picture(path)


def test_enormous_jpeg_is_refused(tmp_path):
    path = saved(tmp_path, Image.new("L", (20000, 20000)), "enormous.jpg")
    with pytest.raises(ValueError, match="too large to decode.* expected at most 100 million"):
        load_picture(path)


def test_image_of_the_host_is_rounded_not_cut_off():
    image = torch.tensor(colour())[None].float() / 255
    np.testing.assert_array_equal(picture_from_image(image), colour())
    almost = (torch.tensor(colour())[None].float() + 0.4) / 255
    np.testing.assert_array_equal(picture_from_image(almost), colour())
    more = (torch.tensor(colour()).clamp(max=254)[None].float() + 0.6) / 255
    np.testing.assert_array_equal(picture_from_image(more), np.minimum(colour(), 254) + 1)


def test_image_channels_index_and_half_precision():
    grey = torch.tensor(RAMP)[None, ..., None].float() / 255
    np.testing.assert_array_equal(picture_from_image(grey), RAMP[..., None].repeat(3, -1))
    batch = torch.stack([torch.zeros(70, 80, 3), torch.ones(70, 80, 3)])
    assert picture_from_image(batch).max() == 0 and picture_from_image(batch, 1).min() == 255
    half = torch.full((1, 70, 80, 3), 0.5, dtype=torch.bfloat16)
    assert (picture_from_image(half) == 128).all()
    overshoot = torch.full((1, 70, 80, 3), 1.2)
    assert (picture_from_image(overshoot) == 255).all()


def test_alpha_of_an_image_is_composited():
    image = torch.ones(1, 70, 80, 4)
    image[..., :40, 3] = 0
    picture = picture_from_image(image)
    assert (picture[:, :40] == FILL).all() and (picture[:, 40:] == 255).all()


@pytest.mark.parametrize(
    "image, message",
    [
        (torch.zeros(70, 80, 3), r"\[B,H,W,C\] .*got \[70, 80, 3\]"),
        (torch.zeros(1, 70, 80, 2), r"1, 3 or 4 channels, got \[1, 70, 80, 2\]"),
        (torch.zeros(0, 70, 80, 3), "got 0 pictures"),
        (torch.zeros(1, 1, 1, 3), "1 x 1 pixels: expected at least 64"),
        (torch.full((1, 70, 80, 3), float("nan")), "16800 NaN or infinite values"),
        (torch.full((1, 70, 80, 4), float("inf")), "NaN or infinite values"),
        (torch.full((1, 70, 80, 3), 255.0), "values from 255 to 255: expected floats in 0..1"),
        (torch.full((1, 70, 80, 3), -1.0), "values from -1 to -1: expected floats in 0..1"),
        (torch.zeros(1, 70, 80, 3, dtype=torch.int32), "type torch.int32: expected floats"),
    ],
)
def test_bad_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        picture_from_image(image)

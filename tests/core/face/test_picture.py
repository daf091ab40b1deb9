"""Picture files of every kind, and the host's IMAGE, become uint8 RGB; bad ones are refused."""

import io
import struct
import sys
import types

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
def test_the_rotation_in_exif_is_applied(tmp_path, orientation):
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


def test_transparent_greys_and_palette_colours_take_the_fill(tmp_path):
    clear = Image.merge("LA", [Image.fromarray(RAMP), Image.new("L", (80, 70), 0)])
    assert (load_picture(saved(tmp_path, clear)) == FILL).all()
    palette = Image.fromarray(np.repeat([[0, 1]], 70, axis=0).repeat(40, axis=1).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    picture = load_picture(saved(tmp_path, palette, "palette.png", transparency=0))
    assert (picture[:, :40] == FILL).all() and (picture[:, 40:] == (200, 100, 50)).all()
    opaque = load_picture(saved(tmp_path, palette, "opaque.png"))
    assert (opaque[:, :40] == (10, 20, 30)).all()


def test_pictures_of_one_channel_and_of_one_bit_are_read_as_grey(tmp_path):
    np.testing.assert_array_equal(load_picture(saved(tmp_path, Image.fromarray(RAMP))), RAMP[..., None].repeat(3, -1))
    bits = load_picture(saved(tmp_path, Image.fromarray(RAMP > 100), "bits.png"))
    np.testing.assert_array_equal(bits[..., 1], np.where(RAMP > 100, 255, 0))


def test_a_cmyk_tiff_is_read_in_its_colours(tmp_path):
    ink = Image.new("CMYK", (80, 70), (0, 255, 255, 0))  # magenta and yellow make red
    picture = load_picture(saved(tmp_path, ink, "ink.tiff")).astype(int)
    assert (picture[..., 0] > 240).all() and (picture[..., 1:] < 15).all()


def test_a_cmyk_jpeg_is_read_in_its_colours(tmp_path):
    ink = Image.new("CMYK", (80, 70), (0, 255, 255, 0))
    picture = load_picture(saved(tmp_path, ink, "ink.jpg", quality=98)).astype(int)
    assert (picture[..., 0] > 240).all() and (picture[..., 1:] < 15).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bit_colours_and_alpha_are_read(tmp_path, name):
    cv2 = pytest.importorskip("cv2")
    deep = colour()[..., ::-1].astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / name), deep)
    np.testing.assert_array_equal(load_picture(tmp_path / name), colour())
    alpha = np.full((70, 80, 1), 65535, np.uint16)
    alpha[:, :40] = 0
    assert cv2.imwrite(str(tmp_path / name), np.dstack([deep, alpha]))
    picture = load_picture(tmp_path / name)
    assert (picture[:, :40] == FILL).all()
    np.testing.assert_array_equal(picture[:, 40:], colour()[:, 40:])


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    deep = (RAMP.astype(np.uint16) * 257 + 100).astype(np.uint16)
    picture = load_picture(saved(tmp_path, Image.fromarray(deep), name))
    np.testing.assert_array_equal(picture[..., 0], np.round(deep / 257))
    np.testing.assert_array_equal(picture[..., 0], RAMP)


def test_thirty_two_bit_integers_and_floats_are_read(tmp_path):
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


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no picture at .*nobody.jpg"):
        load_picture(tmp_path / "nobody.jpg")
    with pytest.raises(ValueError, match="is a folder, not a picture. Choose one file in it"):
        load_picture(tmp_path)


def heic():
    return struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic" + b"\0" * 300


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty: it has 0 bytes"),
        (b"not a picture at all\n" * 50, "is a text file, not a picture. Choose a JPEG"),
        ("Grüße aus Köln\n".encode(), "is a text file, not a picture"),
        (b"<!DOCTYPE html><html><body>", "is a web page, not a picture. Save the picture itself"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "is a vector drawing .SVG."),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"\0" * 99, "is a PDF document, not a picture. Export the page"),
        (heic(), "is a HEIC photo, .*pip install pillow-heif.*or export the photo as JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "cannot be read as a picture .*expected a complete JPEG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\xab" * 900, "cannot be read as a picture .*expected a complete JPEG"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_own_message(tmp_path, content, message):
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"fake.jpg {message}"):
        load_picture(path)


@pytest.mark.parametrize(
    "container, codec",
    [("mp4", "mpeg4"), ("mov", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4")]
    + [("mpeg", "mpeg2video")],
)
def test_videos_are_told_by_their_content(tmp_path, container, codec):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.jpg"  # the name says nothing
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 128, 3), np.uint8), format="rgb24")))
        file.mux(stream.encode())
    with pytest.raises(ValueError, match="clip.jpg is a video, not a picture. Export one frame that shows the face"):
        load_picture(path)


def test_a_damaged_video_is_told_by_its_name(tmp_path):
    path = tmp_path / "clip.MP4"
    path.write_bytes(b"\xfe\x01" * 400)
    with pytest.raises(ValueError, match="clip.MP4 is a video"):
        load_picture(path)


@pytest.mark.parametrize("name", ["many.gif", "many.webp", "many.png", "many.tiff"])
def test_the_first_frame_of_an_animation_is_used_and_this_is_noted(tmp_path, name):
    frames = [Image.new("RGB", (80, 70), shade) for shade in ((200, 30, 40), (10, 200, 30), (0, 0, 250))]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=f"{name} holds several pictures .*only the first is used"):
        picture = load_picture(path)
    assert picture.shape == (70, 80, 3) and np.abs(picture.astype(int) - (200, 30, 40)).max() <= 8


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["one.gif", "one.webp", "one.png", "one.tiff", "one.jpg"])
def test_a_single_picture_has_no_note(tmp_path, name):
    assert load_picture(saved(tmp_path, Image.fromarray(colour()), name)).shape == (70, 80, 3)


def test_heic_is_read_where_its_plugin_is_installed(tmp_path, monkeypatch):
    """The plugin itself is not needed here: a stand-in teaches PIL to read the same bytes."""
    stand_in = types.ModuleType("pillow_heif")
    stand_in.register_heif_opener = lambda: Image.register_open("HEIF", heif, lambda head: head[8:12] == b"heic")
    heif = lambda file, name: Image.open(io.BytesIO(png))  # noqa: E731
    png = saved(tmp_path, Image.fromarray(colour())).read_bytes()
    path = tmp_path / "phone.heic"
    path.write_bytes(heic())
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setitem(sys.modules, "pillow_heif", stand_in)
    np.testing.assert_array_equal(load_picture(path), colour())


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


def test_an_image_may_be_grey_a_batch_or_in_half_precision():
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


def test_whole_numbers_and_arrays_are_taken_as_images_too():
    np.testing.assert_array_equal(picture_from_image(torch.tensor(colour())[None]), colour())
    np.testing.assert_array_equal(picture_from_image(colour()[None] / 255), colour())
    np.testing.assert_array_equal(picture_from_image(colour()[None, :, ::-1]), colour()[:, ::-1])
    clear = np.dstack([colour(), np.where(RAMP > 100, 255, 0).astype(np.uint8)])[None]
    np.testing.assert_array_equal(picture_from_image(clear), np.where(RAMP[..., None] > 100, colour(), FILL))


@pytest.mark.parametrize(
    "image, message",
    [
        ("face.jpg", r"\[B,H,W,C\] .*got str"),
        (np.zeros((1, 70, 80, 3), bool), "type bool: expected floats"),
        (np.zeros((1, 70, 80, 4), complex), "type complex128: expected floats"),
        (np.full((1, 70, 80, 3), None), "type object: expected floats"),
        (np.full((1, 70, 80, 3), 1e300), "NaN or infinite values"),
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

"""Colours of every kind of file: ink, deep and grey ones, palettes, rotated ones, and cameras that embed no profile."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from iccprofiles import (
    ADOBE,
    P3,
    XYZ_OF_SRGB,
    grey_profile,
    ink_profile,
    matrix_profile,
    srgb_of_lab,
    srgb_of_linear,
)
from PIL import Image

from fantasyid_core.face.picture import FILL, load_picture

RAMP = np.linspace(90, 170, 80).astype(np.uint8)[None].repeat(70, 0)  # [70,80]
PAPER_AND_INKS = np.array(
    [[100, 0, 0], [60, -30, -40], [50, 60, -5], [90, -5, 80]]
)  # Lab: paper, cyan, magenta, yellow


def inks() -> np.ndarray:
    """Lab [2,2,2,2,3] of a printer whose inks darken and tint alike; all of them together are black."""
    lab = np.zeros((2, 2, 2, 2, 3))
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        used = [PAPER_AND_INKS[n + 1] for n, ink in enumerate((c, m, y)) if ink]
        light = 100 - sum(100 - each[0] for each in used) - 70 * k
        tint = sum((each[1:] for each in used), np.zeros(2)) * (0.3 if k else 1)
        lab[c, m, y, k] = (max(light, 0), *tint) if light > 0 else (0, 0, 0)
    lab[1, 1, 1, 1] = 0
    return lab


def in_colour() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (70, 80, 3), dtype=np.uint8)


def of_p3(picture: np.ndarray) -> np.ndarray:
    linear = (picture / 255.0) ** (int(2.2 * 256) / 256)
    return srgb_of_linear(linear @ (np.linalg.inv(XYZ_OF_SRGB) @ P3).T)


def of_grey(gamma: float, levels: np.ndarray) -> np.ndarray:
    return srgb_of_linear((levels / 255.0) ** gamma)[..., None].repeat(3, -1)


@pytest.mark.parametrize(("suffix", "options", "near"), [("tiff", {}, 2), ("jpg", {"quality": 100}, 6)])
def test_ink_is_seen_as_its_profile_says(tmp_path, suffix, options, near):
    lab = inks()
    for c, m, y, k in [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 1, 0),
        (0, 1, 1, 0),
        (0, 0, 0, 1),
        (1, 1, 1, 1),
    ]:
        path = tmp_path / f"{c}{m}{y}{k}.{suffix}"
        Image.new("CMYK", (80, 70), (255 * c, 255 * m, 255 * y, 255 * k)).save(
            path, icc_profile=ink_profile(lab), **options
        )
        found = load_picture(path)[30, 30]
        assert abs(found - srgb_of_lab(lab[c, m, y, k])).max() <= near, (c, m, y, k)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff", "plain.png", "plain.jpg"])
def test_grey_follows_its_profile_in_sixteen_bits_and_in_eight(tmp_path, name):
    levels = RAMP.astype(np.uint16) * 257 if name.startswith("deep") else RAMP
    options = {"quality": 100} if name.endswith("jpg") else {}
    Image.fromarray(levels).save(tmp_path / name, icc_profile=grey_profile(1.0), **options)
    assert abs(load_picture(tmp_path / name) - of_grey(1.0, RAMP)).max() <= 3
    assert abs(load_picture(tmp_path / name)[..., 0].astype(int) - RAMP).max() > 40


def test_grey_with_transparency_follows_its_profile(tmp_path):
    alpha = np.full_like(RAMP, 255)
    alpha[:, :20] = 0
    Image.fromarray(np.dstack([RAMP, alpha])).save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    found = load_picture(tmp_path / "a.png")
    assert (found[:, :20] == FILL).all()
    assert abs(found[:, 20:] - of_grey(1.0, RAMP[:, 20:])).max() <= 2


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes_follow_their_profile(tmp_path, transparent):
    picture = Image.fromarray(in_colour()).quantize(64)
    seen = np.array(picture.convert("RGB"))
    path = tmp_path / "p.png"
    picture.save(path, icc_profile=matrix_profile(P3), **({"transparency": 0} if transparent else {}))
    clear = np.array(picture) == 0 if transparent else np.zeros(seen.shape[:2], bool)
    found = load_picture(path)
    assert abs(found - of_p3(seen))[~clear].max() <= 2
    assert (found[clear] == FILL).all() and clear.any() == transparent


def test_sixteen_bit_colours_follow_their_profile(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), in_colour()[..., ::-1].astype(np.uint16) * 257)
    content, packed = path.read_bytes(), b"wide\0\0" + zlib.compress(matrix_profile(P3))
    chunk = b"iCCP" + packed
    chunk = len(packed).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(content[:33] + chunk + content[33:])  # behind the header
    assert abs(load_picture(path) - of_p3(in_colour())).max() <= 3


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
def test_a_rotated_photo_is_upright_and_in_its_colours(tmp_path, suffix):
    smooth = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(np.rot90(smooth, 1))).save(
        tmp_path / f"a.{suffix}", exif=exif, icc_profile=matrix_profile(P3), **options
    )
    found = load_picture(tmp_path / f"a.{suffix}")
    assert found.shape == (70, 80, 3)
    assert abs(found - of_p3(smooth)).max() <= (5 if suffix == "jpg" else 2)


def test_a_profile_longer_than_a_segment_of_a_jpeg_is_read_whole(tmp_path):
    smooth = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
    long = matrix_profile(P3, extra=200_000)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=long)
    assert abs(load_picture(tmp_path / "a.jpg") - of_p3(smooth)).max() <= 5


@pytest.mark.parametrize(("index", "converted"), [("R03", True), ("R98", False), ("", False)])
def test_adobe_rgb_of_cameras_that_embed_no_profile_is_recognised(tmp_path, index, converted):
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: index}}
    smooth = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
    Image.fromarray(smooth).save(tmp_path / "_DSC1.jpg", quality=100, subsampling=0, exif=exif)
    linear = (smooth / 255.0) ** (563 / 256) @ (np.linalg.inv(XYZ_OF_SRGB) @ ADOBE).T
    expected = srgb_of_linear(linear) if converted else smooth.astype(float)
    assert abs(load_picture(tmp_path / "_DSC1.jpg") - expected).max() <= 3
    assert abs(srgb_of_linear(linear) - smooth).max() > 6  # so that it is told from no change

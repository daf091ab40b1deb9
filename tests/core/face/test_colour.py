"""Embedded colour profiles: a photo shows the colours that its camera meant."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from fantasyid_core.face.picture import load_picture

# Colours of a profile that is no sRGB, made without a file: Pillow ships the maker of profiles for sRGB, XYZ and Lab.
XYZ_OF_SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # to D50
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])


def profile(primaries, gamma=2.2, name=b"wide"):
    """A matrix profile (ICC.1:2001, version 2): three primaries relative to D50, and one gamma."""

    def fixed(values):
        return b"".join(int(round(value * 65536)).to_bytes(4, "big", signed=True) for value in values)

    text = b"desc" + bytes(4) + (len(name) + 1).to_bytes(4, "big") + name + bytes(1) + bytes(78)
    tags = {
        b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed((0.9642, 1.0, 0.8249)),
        **{tag: b"XYZ " + bytes(4) + fixed(primaries[:, i]) for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **{tag: b"curv" + bytes(4) + (1).to_bytes(4, "big") + int(gamma * 256).to_bytes(2, "big")
           for tag in (b"rTRC", b"gTRC", b"bTRC")},
    }  # fmt: skip
    table, data = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + (start + len(data)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    head = size.to_bytes(4, "big") + b"lcms" + bytes([2, 0x10, 0, 0]) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(4 * 7) + fixed((0.9642, 1.0, 0.8249))
    return head + bytes(128 - len(head)) + table + data


def expected(picture, primaries, gamma=2.2):
    """The colours in sRGB, by the definition of both spaces."""
    linear = (picture / 255) ** (int(gamma * 256) / 256) @ (np.linalg.inv(XYZ_OF_SRGB) @ primaries).T
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def picture():
    return np.random.default_rng(0).integers(60, 200, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("primaries", [P3, ADOBE], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_wide_colour_spaces_become_srgb(tmp_path, primaries, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(picture()).save(path, icc_profile=profile(primaries))
    found = load_picture(path)
    assert abs(found - expected(picture().astype(float), primaries)).max() <= 2
    assert abs(found.astype(int) - picture()).max() > 5


def test_transparency_stays(tmp_path):
    alpha = np.full((64, 64, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([picture(), alpha], axis=2)).save(tmp_path / "a.png", icc_profile=profile(P3))
    assert abs(load_picture(tmp_path / "a.png") - expected(picture().astype(float), P3)).max() <= 2


@pytest.mark.parametrize("content", [
    None, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile", profile(P3)[:200],
], ids=["none", "sRGB", "no profile", "cut off"])  # fmt: skip
def test_without_a_profile_that_says_otherwise_every_bit_stays(tmp_path, content):
    Image.fromarray(picture()).save(tmp_path / "photo.png", **({"icc_profile": content} if content else {}))
    assert np.array_equal(load_picture(tmp_path / "photo.png"), picture())


def test_a_profile_of_another_kind_of_picture_is_passed_over(tmp_path):
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "photo.tiff", icc_profile=profile(P3))
    assert load_picture(tmp_path / "photo.tiff").shape == (64, 64, 3)


def test_folders_and_pointers_in_place_of_a_photo_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^\. is a folder, not a picture"):
        load_picture(".")
    (tmp_path / "a.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match="a.png is a Git LFS pointer.*`git lfs pull`"):
        load_picture("a.png")

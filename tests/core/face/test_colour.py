"""Embedded colour profiles: a photo shows the colours that its camera meant."""

from __future__ import annotations

import numpy as np
import pytest
from iccprofiles import ADOBE, P3, XYZ_OF_SRGB, srgb_of_linear
from iccprofiles import matrix_profile as profile
from PIL import Image, ImageCms

from fantasyid_core.face.picture import load_picture


def expected(picture, primaries, gamma=2.2):
    """The colours in sRGB, by the definition of both spaces."""
    linear = (picture / 255) ** (int(gamma * 256) / 256) @ (np.linalg.inv(XYZ_OF_SRGB) @ primaries).T
    return srgb_of_linear(linear)


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

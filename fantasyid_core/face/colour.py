"""Converts a photo from its own colour space to sRGB, which the networks were trained with.

Phones and print shops embed a profile (Display P3, CMYK). Cameras that are set to Adobe RGB often embed none and only
say so in the EXIF entries, as their standard DCF 2.0 has it. Unconverted, such faces look pale or green.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_MODES = {"RGB ": ("RGB", "RGBA", "RGBX"), "CMYK": ("CMYK",), "GRAY": ("L", "LA")}
"""Colour space of a profile -> modes of the pictures that it can describe."""

_INTEROPERABILITY, _INDEX, _ADOBE = 0xA005, 1, "R03"  # the EXIF entries, and their value for Adobe RGB
_ADOBE_GAMMA = 563 / 256
_ADOBE_TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])
"""Linear light to linear light; both have the white D65."""


def to_srgb(image: Image.Image) -> Image.Image:
    """`image` in sRGB by its embedded ICC profile, or by the EXIF entry of Adobe RGB; the very same picture where
    there is neither, where it is sRGB, and where the profile cannot be read or is of another kind of picture.
    Transparency stays as it is."""
    content = image.info.get("icc_profile")
    if not content:
        return _from_adobe(image) if image.mode == "RGB" and _says_adobe(image) else image
    from PIL import ImageCms

    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        space = profile.profile.xcolor_space
        if image.mode not in _MODES.get(space, ()) or "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        return _converted(image, profile)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile: the picture is what is left
        return image


def _converted(image: Image.Image, profile) -> Image.Image:
    from PIL import ImageCms

    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    plain = {"RGBA": "RGB", "RGBX": "RGB", "LA": "L"}.get(image.mode, image.mode)
    colours = image if plain == image.mode else image.convert(plain)
    target = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(
        colours,
        profile,
        target,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _says_adobe(image: Image.Image) -> bool:
    try:
        return image.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX, "").rstrip("\0") == _ADOBE
    except Exception:  # damaged entries, in whatever way: the picture is what is left
        return False


def _from_adobe(image: Image.Image) -> Image.Image:
    from PIL import Image

    steps = (np.arange(256) / 255) ** _ADOBE_GAMMA
    linear = (steps.astype(np.float32)[np.asarray(image)] @ _ADOBE_TO_SRGB.T.astype(np.float32)).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray((255 * encoded).round().astype(np.uint8))

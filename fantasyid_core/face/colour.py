"""Converts a photo from its embedded colour profile to sRGB, which the networks were trained with.

Cameras and phones save photos in wider colour spaces (Display P3, Adobe RGB), and print shops in CMYK. Without the
profile such faces look pale or green.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_MODES = {"RGB ": ("RGB", "RGBA", "RGBX"), "CMYK": ("CMYK",), "GRAY": ("L", "LA")}
"""Colour space of a profile -> modes of the pictures that it can describe."""


def to_srgb(image: Image.Image) -> Image.Image:
    """`image` in sRGB by its embedded ICC profile; the very same picture where there is none, where it is sRGB, and
    where the profile cannot be read or is of another kind of picture. Transparency stays as it is."""
    content = image.info.get("icc_profile")
    if not content:
        return image
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

"""Pictures as np.uint8 [H,W,3] RGB: read from files of every common kind, or taken from the host's IMAGE.

Nothing is scaled here: points that a user gives are pixels of the picture as it was loaded.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.filekind import not_a_picture
from ..files.pixels import as_tensor, checked, rounded
from .colour import to_srgb

if TYPE_CHECKING:
    import torch
    from PIL import Image

MIN_SIDE = 64
"""Shortest side in pixels: below it there is no face left to recognise in a 512 x 512 crop."""

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded (0.3 GB as RGB), so that a small file cannot fill the memory."""

FILL = (132, 133, 135)
"""RGB of what lies outside the picture in an aligned crop of the official release. What is transparent gets
the same colour: the network was trained with it, whereas white or black would be new to it."""

COLOUR_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")

SEVERAL = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")
"""Formats whose further pictures the user means. A phone's JPEG may hold a second one too (MPO), for depth."""


def load_picture(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture file upright: np.uint8 [H,W,3] RGB, the EXIF rotation and the
    embedded colour profile applied.

    Transparency is composited onto `FILL`; greyscale, palette and CMYK become RGB; 16 bits are divided by
    257 and floats (0..1) multiplied by 255, both rounded; of 16-bit colours Pillow keeps the upper 8 bits.
    Of an animation, or of a file of several pages, the first is taken, with a warning.

    Raises FileNotFoundError for a missing file; ValueError for one that is not a picture (videos, documents
    and the like have their own sentences), is damaged, has a shorter side below `MIN_SIDE` or more than
    `MAX_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    name = path.name or str(path)  # "." has no name
    if not path.exists():
        raise FileNotFoundError(f"There is no picture at {path}. Check the path and the spelling of the name.")
    with _reading(path):
        _learn_heic()
        image = Image.open(path)
    with image:
        check_size(*image.size, name)
        with _reading(path):
            several = image.format in SEVERAL and getattr(image, "is_animated", False)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
        if several:
            warnings.warn(
                f"{name} holds several pictures (an animation or pages): only the first is used. Export the "
                "one that shows the face best if it is another.",
                stacklevel=2,
            )
        return _to_rgb(to_srgb(_eight_bits(image, name)), name)


def picture_from_image(image: torch.Tensor | np.ndarray, index: int = 0) -> np.ndarray:
    """Picture `index` of the host's IMAGE (float [B,H,W,C] in 0..1, C 1, 3 or 4) as np.uint8 [H,W,3] RGB.

    (x * 255).round(); alpha is composited onto `FILL`.

    uint8 in 0..255 is taken too. Raises ValueError for another shape or type, a missing index, NaN or
    infinite values, another range, or a size that `load_picture` refuses too.
    """
    import torch

    if not hasattr(image, "shape") or len(image.shape) != 4 or image.shape[-1] not in (1, 3, 4):
        found = list(image.shape) if hasattr(image, "shape") else type(image).__name__
        raise ValueError(
            f"Expected an image of shape [B,H,W,C] with 1, 3 or 4 channels, got {found}. "
            "Connect the output of a node that loads or makes a picture."
        )
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < image.shape[0]:
        raise ValueError(f"Expected an image batch holding picture {index!r}, got {image.shape[0]} pictures.")
    check_size(image.shape[2], image.shape[1], "The image")
    picture = as_tensor(image[index], "The image")
    picture = picture.float() / 255 if picture.dtype == torch.uint8 else checked(picture, "The image")
    if picture.shape[-1] == 4:
        colour, alpha = picture[..., :3], picture[..., 3:].clamp(0, 1)
        picture = alpha * colour + (1 - alpha) * torch.tensor(FILL) / 255
    return rounded(picture.expand(*picture.shape[:2], 3))


def check_size(width: int, height: int, name: str) -> None:
    """Raises ValueError, beginning with `name`, for a picture too small for a face or too large to decode."""
    if min(width, height) < MIN_SIDE:
        raise ValueError(
            f"{name} has {width} x {height} pixels: expected at least {MIN_SIDE} on the shorter side, "
            "better 512. Choose a larger picture."
        )
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name} has {width} x {height} pixels ({width * height / 1e6:.0f} million): expected at most "
            f"{MAX_PIXELS // 10**6} million. Scale it down, or cut out the part with the face, and try again."
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # `check_size` has its own limit, with an error that says what to do.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path.name} is too large to decode ({error}): expected at most {MAX_PIXELS // 10**6} million "
            "pixels. Scale it down, or cut out the part with the face, and try again."
        ) from error
    except Exception as error:  # damaged files make PIL's decoders trip in too many ways to name
        name = path.name or str(path)
        kind = None if isinstance(error, PermissionError) else not_a_picture(path)
        if kind:
            raise ValueError(f"{name} {kind}.") from error
        raise ValueError(
            f"{name} cannot be read as a picture ({error or type(error).__name__}): expected a complete "
            "JPEG, PNG, WebP, TIFF or BMP file. Open it in a picture viewer, save it again, or choose "
            "another file."
        ) from error


def _learn_heic() -> None:
    """Lets PIL read the HEIC photos of phones where the user has installed pillow-heif."""
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        pass  # `filekind.HEIC` says so when a HEIC file comes


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """One channel of 16 or 32 bits as 8 bits, with its profile; other pictures as they are."""
    from PIL import Image

    if not image.mode.startswith("I;16") and image.mode not in ("I", "F"):
        return image
    grey = Image.fromarray(_deep_grey_to_uint8(image, name))
    grey.info = {key: image.info[key] for key in ("icc_profile",) if key in image.info}
    return grey


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    from PIL import Image

    if image.mode in ALPHA_MODES or "transparency" in image.info:
        if image.mode == "La":  # PIL has no direct way from premultiplied grey to RGBA
            image = image.convert("LA")
        backdrop = Image.new("RGBA", image.size, (*FILL, 255))
        image = Image.alpha_composite(backdrop, image.convert("RGBA"))
    elif image.mode not in COLOUR_MODES:
        raise ValueError(
            f"{name} has the colour mode {image.mode}: expected greyscale, RGB or CMYK. "
            "Convert it to RGB in a picture editor and save it again."
        )
    return np.array(image.convert("RGB"))


def _deep_grey_to_uint8(image: Image.Image, name: str) -> np.ndarray:
    """One channel of 16 or 32 bits. A plain `convert("L")` would clip everything above 255 to white."""
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):  # written so that NaN fails too
        raise ValueError(
            f"{name} holds pixel values from {values.min():.6g} to {values.max():.6g}: expected 0..{top:g} "
            f"in a {'floating-point' if image.mode == 'F' else '16-bit'} picture. Save it with 8 or 16 "
            "bits per channel."
        )
    return (values * (255 / top)).round().astype(np.uint8)

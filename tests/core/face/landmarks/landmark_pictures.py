"""Photos, drawn pictures and pictures without a face for the tests of the landmarks. Needs numpy and OpenCV only."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

PUBLIC = (*("astronaut", "hopper", "group 0", "group 1", "group 2", "group 3"), *(f"drawn {seed}" for seed in range(4)))
"""Pictures of scikit-image, matplotlib, insightface's package (faces of its group photo), and drawn here."""

GROUP = ((440, 250, 600, 450), (30, 240, 200, 430), (1105, 260, 1260, 430), (720, 340, 870, 510))  # x0, y0, x1, y1


TURNS = (-25, 15)  # degrees, within what MediaPipe itself finds
SCALES = (0.5, 1.5)


def load(name: str | Path) -> np.ndarray:
    """A photo as np.uint8 [H,W,3] RGB."""
    if isinstance(name, Path):
        return cv2.cvtColor(cv2.imread(str(name)), cv2.COLOR_BGR2RGB)
    if name == "astronaut":
        from skimage.data import astronaut

        return astronaut()
    if name == "camera":
        from skimage.data import camera

        return np.repeat(camera()[..., None], 3, axis=2)
    if name == "hopper":
        from matplotlib import get_data_path

        return load(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
    kind, number = name.split()
    if kind == "group":
        x0, y0, x1, y1 = GROUP[int(number)]
        return np.ascontiguousarray(group_photo()[y0:y1, x0:x1])
    return drawn_face(int(number))


def group_photo() -> np.ndarray:
    """Six people, 1280 x 886; raises FileNotFoundError where insightface is not installed. It is not imported."""
    spec = find_spec("insightface")
    if spec is None:
        raise FileNotFoundError("The package insightface, whose group photo is used here, is not installed.")
    return load(Path(spec.submodule_search_locations[0]) / "data" / "images" / "t1.jpg")


def folder_pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".jpg", ".png"))


def probe(side: int) -> np.ndarray:
    """A face that fills a square of `side` pixels."""
    return cv2.resize(load("astronaut")[30:250, 110:330], (side, side), interpolation=cv2.INTER_AREA)


def versions(picture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The picture, turned about its middle, and scaled."""
    yield "as it is", picture
    for degrees in TURNS:
        yield f"turned {degrees}", turn(picture, degrees)
    for scale in SCALES:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        yield f"scaled {scale}", cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)


def turn(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Turned anticlockwise about the middle, on a canvas that holds all of it."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    sides = np.ceil(np.abs(matrix[:, :2]) @ (width, height)).astype(int)
    matrix[:, 2] += sides / 2 - np.array([width, height]) / 2
    return cv2.warpAffine(picture, matrix, sides.tolist(), borderValue=(120, 120, 120))


def placed(picture: np.ndarray, middle: tuple, size: float, wanted: float, degrees: float, canvas: tuple) -> np.ndarray:
    """A face of `size` pixels about `middle`, made `wanted` pixels large, turned, in a canvas (height, width)."""
    matrix = cv2.getRotationMatrix2D(middle, degrees, wanted / size)
    matrix[:, 2] += np.array([canvas[1] * 0.55, canvas[0] * 0.45]) - middle
    smooth = cv2.GaussianBlur(picture, (0, 0), max(0.01, 0.4 * size / wanted))
    return cv2.warpAffine(smooth, matrix, canvas[::-1], borderValue=(90, 110, 130))


def drawn_face(seed: int) -> np.ndarray:
    """A painted head np.uint8 [480,400,3]: soft shading, eyes, brows, nose, lips, hair; another one for every seed."""
    draw = np.random.default_rng(seed)
    picture = np.full((480, 400, 3), draw.integers(60, 200, 3), np.float64)
    skin = np.array([205, 160, 135]) * draw.uniform(0.6, 1.1)
    y, x = np.mgrid[:480, :400].astype(np.float64)
    middle, width, height = 200 + draw.uniform(-15, 15), 82 * draw.uniform(0.92, 1.08), 112 * draw.uniform(0.95, 1.06)

    def blob(cx, cy, rx, ry, colour, soft=0.06, strength=1.0):
        far = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        share = (strength / (1 + np.exp(((far - 1) / soft).clip(-50, 50))))[..., None]
        picture[:] = picture * (1 - share) + np.asarray(colour, np.float64) * share

    blob(middle, 205, width * 1.2, height * 1.15, skin * draw.uniform(0.1, 0.4))
    blob(middle, 400, 55, 110, skin * 0.75)
    blob(middle, 240, width, height, skin)
    blob(middle - 25, 225, width * 0.6, height * 0.7, np.minimum(skin * 1.15, 255), 0.4, 0.7)
    for side in (-1, 1):
        eye = middle + side * width * 0.42
        blob(eye, 214, 24, 15, skin * 0.75, 0.4, 0.7)
        blob(eye, 190, 21, 4, skin * 0.3, 0.2)
        blob(eye, 215, 15.5, 7.5, (235, 232, 228))
        blob(eye, 215, 6.8, 6.8, (70, 50, 35))
        blob(eye, 215, 3, 3, (10, 10, 10))
        blob(eye, 208, 16, 2.2, skin * 0.35, 0.3)
        blob(middle + side * 8, 268, 4.5, 3, skin * 0.4, 0.3)
        blob(middle + side * 11, 264, 8, 8, skin * 0.85, 0.4, 0.6)
    blob(middle - 3, 240, 6, 32, np.minimum(skin * 1.2, 255), 0.5, 0.7)
    blob(middle, 260, 12, 9, np.minimum(skin * 1.1, 255), 0.4, 0.6)
    lips = np.array([170, 85, 85]) * draw.uniform(0.7, 1.1)
    blob(middle, 299, 29, 7, lips)
    blob(middle, 305, 24, 7, np.minimum(lips * 1.15, 255))
    blob(middle, 301, 27, 1.6, lips * 0.4, 0.3)
    blob(middle, 322, 22, 5, skin * 0.8, 0.5, 0.6)
    return cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (0, 0), 1.0)


def faceless(count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures without a face: scikit-image's, then made ones of eight kinds, always the same."""
    draw = np.random.default_rng(7)
    made = 0
    for name, picture in _of_scikit_image():
        yield name, picture
        made += 1
    while made < count:
        name, paint = PAINTERS[made % len(PAINTERS)]
        height, width = (int(side) for side in draw.integers(160, 480, 2))
        picture = paint(draw, height, width)
        yield f"{name} {made}", np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
        made += 1


FACELESS = "brick grass gravel coins moon page text clock checkerboard coffee hubble_deep_field rocket retina"
FACELESS += " microaneurysms immunohistochemistry horse colorwheel logo cell shepp_logan_phantom chelsea"


def _of_scikit_image() -> Iterator[tuple[str, np.ndarray]]:
    import skimage.data

    for name in FACELESS.split():
        try:
            picture = np.asarray(getattr(skimage.data, name)())
        except (AttributeError, ImportError, OSError):  # not in this version, or not in the package itself
            continue
        if picture.dtype != np.uint8:
            picture = (picture / max(picture.max(), 1e-9) * 255).astype(np.uint8)
        yield (
            name,
            np.ascontiguousarray((picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2))[..., :3]),
        )


def _noise(draw, height, width):
    return draw.integers(0, 256, (height, width, 3))


def _smooth(draw, height, width, channels=3):
    picture = np.zeros((height, width, channels), np.float32)
    for octave in range(1, 8):
        grid = draw.normal(size=(2**octave, 2**octave, channels)).astype(np.float32)
        fine = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
        picture += 0.6**octave * fine
    return _stretched(picture)


def _clouds(draw, height, width):
    return np.repeat(_smooth(draw, height, width, 1), 3, axis=2)


def _shapes(draw, height, width):
    picture = np.full((height, width, 3), draw.integers(0, 256, 3), np.uint8)
    for _ in range(draw.integers(5, 60)):
        colour, x, y = draw.integers(0, 256, 3).tolist(), int(draw.integers(0, width)), int(draw.integers(0, height))
        a, b = draw.integers(4, 90, 2).tolist()
        if draw.random() < 0.5:
            cv2.ellipse(picture, (x, y), (a, b), float(draw.integers(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(picture, (x, y), (x + a, y + b), colour, -1)
    return picture


def _text(draw, height, width):
    picture = np.full((height, width, 3), 255, np.uint8)
    for y in range(20, height, 24):
        line = "".join(chr(letter) for letter in draw.integers(33, 126, 60))
        cv2.putText(picture, line, (5, y), int(draw.integers(0, 4)), 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _landscape(draw, height, width):
    down = np.linspace(0, 1, height)[:, None, None]
    picture = (1 - down) * draw.integers(90, 256, 3) + down * draw.integers(60, 220, 3) + np.zeros((1, width, 1))
    for layer in range(5):
        ridge = height * (0.3 + 0.14 * layer) + draw.normal(size=12) * height * 0.08
        below = np.arange(height)[:, None] > np.interp(np.arange(width), np.linspace(0, width, 12), ridge)
        rough = cv2.resize(draw.normal(size=(height // 4 + 1, width // 4 + 1)), (width, height))[..., None] * 18
        picture = np.where(below[..., None], draw.integers(20, 160, 3) + rough, picture)
    picture = np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
    return cv2.circle(
        picture, (int(draw.integers(0, width)), height // 5), int(draw.integers(8, 40)), (255, 240, 200), -1
    )


def _stripes(draw, height, width):
    y, x = np.mgrid[:height, :width]
    waves = (x * draw.uniform(0.01, 0.8) + y * draw.uniform(-0.5, 0.5) + 3 * np.sin(y * 0.05) for _ in range(3))
    return np.stack([127 + 127 * np.sin(wave) for wave in waves], axis=-1)


def _blobs(draw, height, width):
    return _stretched(cv2.GaussianBlur(draw.normal(size=(height, width, 3)), (0, 0), float(draw.uniform(2, 25))))


def _stretched(picture: np.ndarray) -> np.ndarray:
    return (picture - picture.min()) / np.ptp(picture) * 255


PAINTERS = (
    *(("noise", _noise), ("smooth", _smooth), ("clouds", _clouds), ("shapes", _shapes)),
    *(("text", _text), ("landscape", _landscape), ("stripes", _stripes), ("blobs", _blobs)),
)

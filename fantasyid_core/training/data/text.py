"""Burnt-in subtitles: a text detector that the user has installed, or a network for OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from ...face.align import opencv
from ...running.packages import MissingPackage, lacks, pip_command

MISSING = (
    "Clips with subtitles are not looked for, because the package easyocr is missing. Install it ("
    f"{pip_command(['easyocr'])}), or give a DB text network for OpenCV as the text model."
)
DB_SIDE = 736  # pixels along both sides at which DB networks were trained
DB_MEAN = (122.68, 116.67, 104.01)  # red, green, blue
DB_SEEN, DB_SURE = 0.3, 0.5  # probability of a pixel, and on average of a region
DB_UNCLIP, DB_SMALLEST = 1.5, 10


@dataclass(frozen=True)
class TextReader:
    """boxes: picture np.uint8 [H,W,3] -> x0, y0, x1, y1 of text, float [N,4]."""

    name: str
    boxes: Callable[[np.ndarray], np.ndarray]

    def share(self, picture: np.ndarray) -> float:
        """The share 0..1 of the picture that text covers."""
        height, width = picture.shape[:2]
        covered = np.zeros((height, width), bool)
        for x0, y0, x1, y1 in np.asarray(self.boxes(picture), np.float64).reshape(-1, 4).clip(0):
            covered[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        return float(covered.mean())


def load_text_reader(choice: str, model: str | None) -> tuple[TextReader | None, str]:
    """The reader for "auto", "easyocr", "opencv" or "none", and a sentence when "auto" finds none.

    Raises RuntimeError for easyocr that was asked for and is not installed, FileNotFoundError or ValueError for a
    network that is missing or unreadable.
    """
    if choice == "none":
        return None, ""
    if choice == "opencv" or (choice == "auto" and model):
        return _opencv_reader(Path(model)), ""
    try:
        easyocr = import_module("easyocr")
    except ImportError as error:
        if choice == "auto":
            return None, MISSING
        raise MissingPackage(lacks("Looking for subtitles", ["easyocr"])) from error
    return _easyocr_reader(easyocr), ""


def _easyocr_reader(easyocr) -> TextReader:
    try:
        reader = easyocr.Reader(["en"], gpu=False, recognizer=False, download_enabled=False, verbose=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'easyocr lacks its text network ({error}). Let it fetch the file once: python -c "import easyocr; '
            "easyocr.Reader(['en'], recognizer=False)\", or choose no text filter."
        ) from error

    def boxes(picture: np.ndarray) -> np.ndarray:
        level, slanted = reader.detect(picture)
        found = [[x0, y0, x1, y1] for x0, x1, y0, y1 in level[0]]
        found += [[*np.min(corners, axis=0), *np.max(corners, axis=0)] for corners in slanted[0]]
        return np.array(found, np.float64).reshape(-1, 4)

    return TextReader("easyocr", boxes)


def _opencv_reader(path: Path) -> TextReader:
    cv2 = opencv()
    if not path.is_file():
        raise FileNotFoundError(f"There is no text network at {path}. Expected the ONNX file of a DB network.")
    try:
        network = cv2.dnn.readNet(str(path))
    except cv2.error as error:
        raise ValueError(
            f"{path} is not a network that OpenCV reads: expected the ONNX file of a DB text network. ({error})"
        ) from error

    def boxes(picture: np.ndarray) -> np.ndarray:
        network.setInput(cv2.dnn.blobFromImage(picture, 1 / 255, (DB_SIDE, DB_SIDE), DB_MEAN))
        probability = network.forward()
        if probability.size != DB_SIDE**2:
            raise ValueError(
                f"{path} gives {list(probability.shape)} numbers for a picture: expected one map of {DB_SIDE} x "
                f"{DB_SIDE}, as DB text networks do. Give another file, or choose no text filter."
            )
        grow = np.tile(np.array(picture.shape[1::-1]) / DB_SIDE, 2)
        return _boxes_of(probability.reshape(DB_SIDE, DB_SIDE)) * grow

    return TextReader(f"opencv {path.name} {path.stat().st_size}", boxes)


def _boxes_of(probability: np.ndarray) -> np.ndarray:
    """Text in a DB network's map (Liao et al., arXiv 1911.08947), whose regions are shrunk: each box grows by its area
    divided by its circumference, times 1.5."""
    cv2 = opencv()
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((probability > DB_SEEN).astype(np.uint8))
    found = []
    for label, (x, y, width, height, area) in enumerate(boxes[1:], start=1):
        part = np.s_[y : y + height, x : x + width]
        if area >= DB_SMALLEST and probability[part][labels[part] == label].mean() >= DB_SURE:
            more = DB_UNCLIP * width * height / (2 * (width + height))
            found.append([x - more, y - more, x + width + more, y + height + more])
    return np.array(found, np.float64).reshape(-1, 4)

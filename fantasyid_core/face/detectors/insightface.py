"""The detector insightface: SCRFD (Guo et al. 2021) of the insightface package, with the user's ONNX file.

The session is made here and handed to the package's SCRFD class, whose interface is the same in 0.7 and 2.1;
nothing of the package downloads that way.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...modelfiles import origin
from .networkfile import first_line, import_installed
from .search import Raw

KEY = "insightface_detector"
PACKAGES = ("insightface", "onnxruntime", "onnx")
SIDES = (1280, 640, 256)
ENOUGH, SAME_BOX = 0.5, 0.4  # the package's own
WIDTHS = (1, 4, 10)  # numbers per place: score, box, five points


def load(path: Path) -> Raw:
    """The network in `path`. Raises ValueError for another or damaged file, RuntimeError for a broken package."""
    runtime = import_installed("onnxruntime", "onnxruntime")
    scrfd = import_installed("insightface.model_zoo.scrfd", "insightface").SCRFD
    session = _session(runtime, path)
    fixed = _check_interface(session, path)
    network = scrfd(session=session)  # without the file's name, 2.1 would make a session for every size
    network.det_thresh, network.nms_thresh = ENOUGH, SAME_BOX

    def raw(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bgr = np.ascontiguousarray(picture[..., ::-1])
        try:
            boxes, points = network.detect(bgr, input_size=fixed or bgr.shape[1::-1])
        except Exception as error:  # onnxruntime's errors have no common class
            raise ValueError(
                f"{path} does not work as a face detector ({first_line(error)}): it is damaged or of another kind. "
                f"For this detector, {origin(KEY)}."
            ) from error
        return boxes[:, :4], points, boxes[:, 4]

    return raw


def _session(runtime, path: Path):
    cuda = [name for name in runtime.get_available_providers() if name == "CUDAExecutionProvider"]
    try:
        return runtime.InferenceSession(str(path), providers=[*cuda, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise ValueError(
            f"{path} cannot be read as an ONNX model ({first_line(error)}): it is damaged or the download was "
            f"incomplete. Delete it and {origin(KEY)}."
        ) from error


def _check_interface(session, path: Path) -> tuple[int, int] | None:
    """Width and height when the model takes one size only; ValueError when it is no SCRFD with points."""
    inputs, outputs = ([list(each.shape) for each in some] for some in (session.get_inputs(), session.get_outputs()))
    widths = np.repeat(WIDTHS, len(outputs) // 3).tolist()
    right = len(outputs) in (9, 15) and all(map(_may_be, outputs, widths))
    if not right or len(inputs) != 1 or len(inputs[0]) != 4 or inputs[0][1] != 3:
        raise ValueError(
            f"{path} is an ONNX model of another kind: expected one picture as input and 9 or 15 outputs, of "
            f"{', '.join(map(str, WIDTHS))} numbers each, as SCRFD with five points has them, got inputs {inputs} and "
            f"{len(outputs)} outputs {outputs[:3]}. For this detector, {origin(KEY)}."
        )
    height, width = inputs[0][2:]
    return (width, height) if isinstance(height, int) and isinstance(width, int) else None


def _may_be(shape: list, width: int) -> bool:
    # A length may have a name instead of a number; then it is known only when the model has run.
    return not shape or not isinstance(shape[-1], int) or shape[-1] == width

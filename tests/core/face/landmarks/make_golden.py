"""Writes tests/data/mediapipe_faces.npz: what MediaPipe's own runtime says about photos that any clone has.

    python -m venv mp && mp/bin/pip install mediapipe==0.10.21 scikit-image matplotlib
    mp/bin/pip install --no-deps insightface  # for its group photo; nothing of it is run
    mp/bin/python tests/core/face/landmarks/make_golden.py [folder of further photos [output]]

Not a test: it runs in an environment of its own, for MediaPipe wants an old numpy. Without a folder it takes
`landmark_pictures.PUBLIC`; with one, its photos, to be compared by hand. Kept are the points after
the second pass (the first is made around what the detector found, the second around the points of the first),
and of what the networks answer every 16th number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mediapipe
import numpy as np
from landmark_pictures import PUBLIC, folder_pictures, load, probe, versions
from mediapipe.python import packet_creator, packet_getter
from mediapipe.python._framework_bindings import resource_util

OUTPUT = Path(__file__).resolve().parents[3] / "data" / "mediapipe_faces.npz"
PASSES = 2
EVERY = 16
NETWORKS = {
    "short_range": ("modules/face_detection/face_detection_short_range.tflite", 128, -1.0, 2),
    "full_range": ("modules/face_detection/face_detection_full_range_sparse.tflite", 192, -1.0, 2),
    "mesh": ("modules/face_landmark/face_landmark_with_attention.tflite", 192, 0.0, 7),
}


def main(folder: str | None = None, output: str | None = None) -> None:
    golden = {}
    for name in PUBLIC if folder is None else folder_pictures(Path(folder)):
        for version, picture in versions(load(name) if folder is None else load(Path(folder) / name)):
            points = passes(picture)
            print(f"{name} {version}: {'no face' if points is None else f'{np.ptp(points[-1], axis=0)[0]:.0f} px'}")
            if points is not None:
                golden[f"{name} {version}"] = points[-1].astype(np.float32)
    if folder is None:
        resource_util.set_resource_dir(str(Path(mediapipe.__file__).parents[1]))
        for name, (path, side, low, count) in NETWORKS.items():
            golden[f"raw {name}"] = raw("mediapipe/" + path, probe(side), low, count)[::EVERY]
    np.savez_compressed(output or OUTPUT, **golden)


def passes(picture: np.ndarray) -> np.ndarray | None:
    """[2,478,3] in pixels: the surest face, tracked through the same picture; None without one."""
    height, width = picture.shape[:2]
    settings = {"static_image_mode": False, "max_num_faces": 1, "refine_landmarks": True}
    with mediapipe.solutions.face_mesh.FaceMesh(**settings) as mesh:
        answers = [mesh.process(picture).multi_face_landmarks for _ in range(PASSES)]
    if not all(answers):
        return None
    return np.array([[[p.x * width, p.y * height, p.z * width] for p in faces[0].landmark] for faces in answers])


def raw(path: str, pixels: np.ndarray, low: float, count: int) -> np.ndarray:
    """All numbers that a network answers, one output after the other."""
    side = len(pixels)
    nodes = [
        f"""node {{ calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:x"
        options: {{ [mediapipe.ImageToTensorCalculatorOptions.ext] {{ output_tensor_width: {side}
        output_tensor_height: {side} output_tensor_float_range {{ min: {low} max: 1.0 }} }} }} }}
        node {{ calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:op" }}
        node {{ calculator: "InferenceCalculator" input_stream: "TENSORS:x" input_side_packet: "OP_RESOLVER:op"
        output_stream: "TENSORS:y" options: {{ [mediapipe.InferenceCalculatorOptions.ext] {{
        model_path: "{path}" delegate {{ xnnpack {{}} }} }} }} }}"""
    ]
    streams = " ".join(f'output_stream: "t{nth}"' for nth in range(count))
    ranges = " ".join(f"ranges: {{ begin: {nth} end: {nth + 1} }}" for nth in range(count))
    nodes.append(
        f"""node {{ calculator: "SplitTensorVectorCalculator" input_stream: "y" {streams}
        options: {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {ranges} }} }} }}"""
    )
    nodes += [
        'node { calculator: "TensorsToFloatsCalculator" '
        f'input_stream: "TENSORS:t{nth}" output_stream: "FLOATS:f{nth}" }}'
        for nth in range(count)
    ]
    graph = mediapipe.CalculatorGraph(graph_config='input_stream: "image"\n' + "\n".join(nodes))
    answers = {}
    for nth in range(count):
        graph.observe_output_stream(f"f{nth}", lambda name, packet: answers.update({name: packet}))
    graph.start_run()
    image = packet_creator.create_image_frame(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels)
    )
    graph.add_packet_to_input_stream("image", image.at(0))
    graph.close_all_packet_sources()
    graph.wait_until_done()
    floats = [packet_getter.get_float_list(answers[f"f{nth}"]) for nth in range(count)]
    return np.concatenate([np.asarray(some, np.float32) for some in floats])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Image -> FaceCrop -> ViT features.

Read in this order: `picture` (files and the host's images), `detectors`, `choose`, `points`, `framing`, `align`,
`likeness`, `references`, `photo` (all of these for several photos), `encoder`; `cuts` finds the scenes of a
video.
"""

from importlib import import_module

_HOMES = {
    "align_face": "align",
    "centre_crop": "align",
    "crop_face": "align",
    "crop_detected": "align",
    "FaceCrop": "align",
    "Framing": "framing",
    "parse_points": "points",
    "choice_notes": "choose",
    "choose_face": "choose",
    "draw_faces": "choose",
    "detect_faces": "detectors.detect",
    "DetectedFace": "detectors.detect",
    "find_landmarks": "landmarks",
    "LandmarkedFace": "landmarks",
    "landmarked_faces": "landmarks",
    "head_pose": "pose",
    "has_likeness": "likeness",
    "Likeness": "likeness",
    "load_likeness": "likeness",
    "find_face": "photo",
    "FaceRequest": "photo",
    "load_picture": "picture",
    "picture_from_image": "picture",
    "FaceEncoder": "encoder",
    "FaceFeatures": "features",
    "load_face_encoder": "encoder",
    "odd_ones": "references",
    "reference_set": "references",
    "spread_poses": "references",
    "prepare_pixels": "encoder",
    "save_face_encoder": "encoder",
    "random_face_encoder": "encoder",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

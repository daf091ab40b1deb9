"""Image -> FaceCrop -> ViT features.

Read `picture` (files and the host's images), `detect`, `choose`, `align`, `encoder`.
"""

from importlib import import_module

_HOMES = {
    "align_face": "align",
    "centre_crop": "align",
    "crop_face": "align",
    "FaceCrop": "align",
    "parse_points": "align",
    "choose_face": "choose",
    "draw_faces": "choose",
    "detect_faces": "detect",
    "DetectedFace": "detect",
    "head_pose": "detect",
    "load_picture": "picture",
    "picture_from_image": "picture",
    "FaceEncoder": "encoder",
    "load_face_encoder": "encoder",
    "prepare_pixels": "encoder",
    "save_face_encoder": "encoder",
    "tiny_face_encoder": "encoder",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The 3D face: files, the mesh topology of the networks, and a head for tests.

`faceshape` is the value, `files` reads and writes it, `reconstruct` makes it from a photo, `edit` changes it (sliders,
blends, and the warped picture), `topology` has the mesh levels of the networks, `draw` makes pictures, `reshape`
changes videos, and `ownhead` and `head` are this project's own heads. Everything is imported on first use."""

from importlib import import_module

_HOMES = {
    "edit.blend": ("blend_shapes",),
    "edit.controls": ("shape_controls",),
    "edit.edit": ("edit_shape",),
    "edit.warp": ("warp_face",),
    "topology.spiral": ("spiral_indices",),
    "topology.topology": ("Topology", "load_topology", "pool", "save_topology"),
    "reconstruct.deca": ("Deca", "load_deca"),
    "draw.drawing": ("draw_head", "draw_landmarks", "draw_overlay"),
    "reconstruct.flame": ("FlameModel", "load_flame"),
    "head": ("synthetic_head", "synthetic_topology"),
    "reconstruct.landmarks": ("LandmarkEmbedding", "load_landmarks"),
    "order": ("check_order",),
    "faceshape": ("FaceShape",),
    "files.pointcloud": ("load_shape", "read_shape", "save_shape"),
    "reconstruct.facemodels": ("read_checked_shape",),
    "reconstruct.landmark_fit": ("fit_face",),
    "reconstruct.reconstruct": ("Reconstruction", "reconstruct_face"),
    "reshape.video": ("reshape_frames", "reshape_video"),
    "reshape.settings": ("PersonEdit", "ReshapeSettings"),
    "reshape.report": ("ReshapedFrame", "ReshapeReport"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str):
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

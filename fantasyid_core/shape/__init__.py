"""The 3D face: files, the mesh topology of the networks, and a head for tests.

From a photo: `camera` (what DECA sees), `deca`, `flame`, `landmarks`, `reconstruct`. Files: `pointcloud`.
Edited: `controls` (the sliders), `editstate` (their JSON), `edit`, `blend`, and `warp` (the picture follows).
Everything is imported on first use.
"""

from importlib import import_module

_HOMES = {
    "blend": ("blend_shapes",),
    "controls": ("shape_controls",),
    "edit": ("edit_shape",),
    "warp": ("warp_face",),
    "topology": ("Topology", "load_topology", "pool", "save_topology"),
    "deca": ("Deca", "load_deca"),
    "drawing": ("draw_head", "draw_landmarks", "draw_overlay"),
    "flame": ("FlameModel", "load_flame"),
    "head": ("synthetic_head", "synthetic_topology"),
    "landmarks": ("LandmarkEmbedding", "load_landmarks"),
    "order": ("check_order",),
    "pointcloud": ("FaceShape", "load_shape", "read_shape", "save_shape"),
    "reconstruct": ("Reconstruction", "reconstruct_face"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str):
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

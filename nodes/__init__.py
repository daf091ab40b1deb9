"""The nodes of the pack, in the order of a workflow: loaders, face, shape, identity, video.

A node is a schema plus one call into the core. The core is imported when a node runs, never before.
"""

from comfy_api.latest import ComfyExtension, io

from . import face, folders, identity, loaders, shape, video


class FantasyIDExtension(ComfyExtension):
    """What the host asks for the pack's nodes."""

    async def on_load(self) -> None:
        folders.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            loaders.LoadModel,
            loaders.LoadAdapter,
            loaders.LoadFaceEncoder,
            face.CropFace,
            shape.ReconstructFace,
            shape.LoadShape,
            shape.SaveShape,
            identity.EncodeIdentity,
            identity.ApplyIdentity,
            video.EncodePrompt,
            video.VideoConditioning,
            video.Sampler,
            video.DecodeVideo,
        ]

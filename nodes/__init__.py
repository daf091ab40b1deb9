"""The nodes of the pack, in the order of a workflow: loaders, face, shape, identity, video, score.

A node is a schema plus one call into the core. The core is imported when a node runs, never before.
"""

from comfy_api.latest import ComfyExtension, io

from . import (
    edit,
    editor,
    examples,
    face,
    folders,
    identity,
    identityfile,
    loaders,
    person,
    reshape,
    score,
    shape,
    video,
)


class FantasyIDExtension(ComfyExtension):
    """What the host asks for the pack's nodes."""

    async def on_load(self) -> None:
        folders.register()
        editor.add_routes()
        examples.offer_people()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            loaders.LoadModel,
            loaders.LoadAdapter,
            loaders.LoadFaceEncoder,
            loaders.LoadLoRA,
            face.CropFace,
            shape.ReconstructFace,
            shape.LoadShape,
            shape.SaveShape,
            person.SamplePerson,
            edit.EditShape,
            edit.BlendShapes,
            edit.WarpFace,
            reshape.ReshapeVideo,
            edit.ShapePreview,
            identity.EncodeIdentity,
            identityfile.SaveIdentity,
            identityfile.LoadIdentity,
            identityfile.MixIdentities,
            identity.ApplyIdentity,
            video.EncodePrompt,
            video.VideoConditioning,
            video.Sampler,
            video.DecodeVideo,
            score.ScoreIdentity,
            score.SampleBest,
        ]

"""The nodes that save, load and mix encoded people."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, AdapterType, Identity, IdentityType


class SaveIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_SaveIdentity",
            display_name="FantasyID Save Identity",
            category=CATEGORY,
            description="Saves a person as one .safetensors file in ComfyUI's output folder, with a picture of the "
            "face. An existing file is never overwritten.",
            inputs=[
                IdentityType.Input("identity", tooltip="The person to save, from Encode Identity."),
                io.String.Input(
                    "filename_prefix",
                    default="fantasyid/person",
                    tooltip="Folder and beginning of the file's name; a number is added to it.",
                ),
            ],
            outputs=[IdentityType.Output(display_name="identity", tooltip="The same person, unchanged.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable()
    def execute(cls, identity, filename_prefix: str) -> io.NodeOutput:
        from ..fantasyid_core.identity.identityfile import save_identity

        path, shown = folders.next_output(filename_prefix, ".safetensors")
        parts = {"fingerprint": identity.adapter, "shape_name": identity.shape_name}
        parts |= {"transformer": identity.transformer, "approximate": identity.approximate}
        save_identity(path, identity.tokens, identity.thumbnail, identity.vertices, identity.edit, **parts)
        say(cls, [f"{shown['subfolder']}/{shown['filename']}".lstrip("/"), identity.approximate])
        picture = preview(cls, as_image([identity.thumbnail]))
        return io.NodeOutput(identity, ui={"fantasyid_files": [shown], **picture.as_dict()})


class LoadIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadIdentity",
            display_name="FantasyID Load Identity",
            category=CATEGORY,
            description="Loads a person that Save Identity has saved. No photo, face encoder or 3D face is needed.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folders.list_identities(),
                    tooltip="A .safetensors file of Save Identity, in ComfyUI's input or output folder.",
                ),
                AdapterType.Input(
                    "adapter", optional=True, tooltip="The adapter that you will use the person with. It is checked."
                ),
                io.Boolean.Input(
                    "force",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Loads a person made with another adapter all the same. The face may then not resemble.",
                ),
            ],
            outputs=[
                IdentityType.Output(display_name="identity", tooltip="For Apply Identity."),
                io.Image.Output(display_name="picture", tooltip="The face that was saved with the person."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file=None):
        return folders.problem(folders.find_identity, file)

    @classmethod
    def fingerprint_inputs(cls, file, **_):
        return folders.fingerprint(folders.find_identity, file)

    @classmethod
    @cancellable()
    def execute(cls, file: str, adapter=None, force: bool = False) -> io.NodeOutput:
        from ..fantasyid_core.identity.fingerprint import adapter_fingerprint
        from ..fantasyid_core.identity.identityfile import load_identity

        wanted = None if adapter is None else adapter_fingerprint(adapter)
        found = load_identity(folders.find_identity(file), wanted, force)
        say(cls, [found.shape_name, found.note, found.approximate])
        picture = as_image([found.thumbnail])
        person = Identity(
            found.tokens, found.adapter, found.thumbnail, found.shape_name, found.vertices, found.edit,
            found.transformer, found.approximate,
        )  # fmt: skip
        return io.NodeOutput(person, picture, ui=preview(cls, picture))


class MixIdentities(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def weight(name: str) -> io.Float.Input:
            return io.Float.Input(
                name,
                default=1.0,
                min=0.0,
                max=10.0,
                step=0.05,
                optional=True,
                tooltip="The share of this person in the mix. Only the proportions count.",
            )

        return io.Schema(
            node_id="FantasyID_MixIdentities",
            display_name="FantasyID Mix Identities",
            category=CATEGORY,
            description="Mixes two to four people into one who resembles all of them.",
            inputs=[
                IdentityType.Input("identity_1", tooltip="A person, from Encode Identity or Load Identity."),
                IdentityType.Input("identity_2", tooltip="Another person, of the same adapter."),
                IdentityType.Input("identity_3", optional=True, tooltip="A third person, of the same adapter."),
                IdentityType.Input("identity_4", optional=True, tooltip="A fourth person, of the same adapter."),
                *(weight(f"weight_{number}") for number in (1, 2, 3, 4)),
            ],
            outputs=[IdentityType.Output(display_name="identity", tooltip="For Apply Identity and Save Identity.")],
        )

    @classmethod
    @cancellable()
    def execute(
        cls,
        identity_1,
        identity_2,
        identity_3=None,
        identity_4=None,
        weight_1: float = 1.0,
        weight_2: float = 1.0,
        weight_3: float = 1.0,
        weight_4: float = 1.0,
    ) -> io.NodeOutput:
        from .mixing import mix

        people = (identity_1, identity_2, identity_3, identity_4)
        return io.NodeOutput(mix(people, (weight_1, weight_2, weight_3, weight_4)))

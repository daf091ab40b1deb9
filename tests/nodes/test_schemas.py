"""What the nodes declare: ids, names, help, and the rule that a node is a schema plus one call."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest
from stub_host import ROOT

# Shared workflows depend on these: ids, inputs and outputs may be added, never renamed, moved or removed.
NODES = {
    "FantasyID_LoadModel": (
        ["model", "dtype"],
        ["MODEL", "FANTASYID_ADAPTER", "CLIP", "VAE", "FANTASYID_FACE_ENCODER"],
    ),
    "FantasyID_LoadAdapter": (["adapter", "dtype"], ["FANTASYID_ADAPTER"]),
    "FantasyID_LoadFaceEncoder": (["encoder", "dtype"], ["FANTASYID_FACE_ENCODER"]),
    "FantasyID_LoadLoRA": (["model", "lora", "strength"], ["MODEL"]),
    "FantasyID_SaveIdentity": (["identity", "filename_prefix"], ["FANTASYID_IDENTITY"]),
    "FantasyID_LoadIdentity": (["file", "adapter", "force"], ["FANTASYID_IDENTITY", "IMAGE"]),
    "FantasyID_MixIdentities": (
        [f"{kind}_{number}" for kind in ("identity", "weight") for number in (1, 2, 3, 4)],
        ["FANTASYID_IDENTITY"],
    ),
    "FantasyID_ScoreIdentity": (
        ["image", "face", "detector", "shape_before", "shape_after"],
        ["FLOAT", "FLOAT", "FLOAT", "IMAGE"],
    ),
    "FantasyID_SampleBest": (
        [
            "model",
            "positive",
            "negative",
            "latent",
            "vae",
            "face",
            "seed",
            "count",
            "preview_at",
            "steps",
            "cfg",
            "solver",
            "motion_weight",
        ],
        ["LATENT", "INT"],
    ),
    "FantasyID_CropFace": (
        [
            "image",
            "detector",
            "which_face",
            "number",
            "padding",
            "hair_margin",
            "neck_margin",
            "rotation",
            "points",
            "like",
            "references",
            "border",
        ],
        ["FANTASYID_FACE", "IMAGE", "IMAGE"],
    ),
    "FantasyID_ReconstructFace": (
        ["face", "deca", "flame", "pose", "region", "keep_jaw", "keep_turn", "method", "likeness"],
        ["FANTASYID_SHAPE", "FANTASYID_FACE", "IMAGE"],
    ),
    "FantasyID_LoadShape": (["shape"], ["FANTASYID_SHAPE"]),
    "FantasyID_SaveShape": (["shape", "filename_prefix", "format"], ["FANTASYID_SHAPE"]),
    "FantasyID_SamplePerson": (["seed", "picture"], ["FANTASYID_FACE", "FANTASYID_SHAPE", "IMAGE"]),
    "FantasyID_EditShape": (["shape", "edit", "flame", "adapter", "encoder", "face"], ["FANTASYID_SHAPE"]),
    "FantasyID_BlendShapes": (
        ["shape_1", "place", "exaggeration", "shape_2", "shape_3", "shape_4", "shape_5", "shape_6", "weights"],
        ["FANTASYID_SHAPE"],
    ),
    "FantasyID_WarpFace": (["face", "before", "after"], ["FANTASYID_FACE", "IMAGE"]),
    "FantasyID_ReshapeVideo": (
        [
            "images",
            "strength",
            "shape_before",
            "shape_after",
            "edit",
            "which_face",
            "number",
            "smoothing",
            "only_the_rest",
            "schedule",
            "in_front",
            "like",
        ],
        ["IMAGE", "MASK"],
    ),
    "FantasyID_ShapePreview": (["shape", "before", "frames", "size"], ["IMAGE", "IMAGE", "FILE3DGLB"]),
    "FantasyID_EncodeIdentity": (
        ["adapter", "encoder", "face", "shape", "references", "approximate"],
        ["FANTASYID_IDENTITY", "FANTASYID_FACE"],
    ),
    "FantasyID_ApplyIdentity": (
        [
            "model",
            "adapter",
            "identity",
            "strength",
            "start_percent",
            "end_percent",
            "fade_in",
            "fade_out",
            "layers",
            "schedule",
            "face_weight",
            "shape_weight",
            "region",
            "mask",
            "feather",
            "identity_guidance",
        ],
        ["MODEL"],
    ),
    "FantasyID_EncodePrompt": (["clip", "text"], ["CONDITIONING"]),
    "FantasyID_VideoConditioning": (
        ["positive", "negative", "vae", "face", "model", "video"],
        ["CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    "FantasyID_Sampler": (
        ["model", "positive", "negative", "latent", "seed", "steps", "cfg", "solver", "frames"],
        ["LATENT"],
    ),
    "FantasyID_DecodeVideo": (["vae", "latent", "tile", "video"], ["IMAGE"]),
}


@pytest.fixture
def schemas(node_classes) -> dict:
    return {schema.node_id: schema for schema in (node.define_schema() for node in node_classes)}


def test_ids_inputs_and_outputs_are_those_that_workflows_depend_on(schemas):
    found = {
        name: ([slot.id for slot in schema.inputs], [slot.kind for slot in schema.outputs])
        for name, schema in schemas.items()
    }
    assert found == NODES


def test_every_node_and_every_slot_explains_itself(schemas):
    for name, schema in schemas.items():
        assert schema.display_name.startswith("FantasyID ") and schema.category == "FantasyID", name
        assert schema.description.endswith("."), name
        for slot in (*schema.inputs, *schema.outputs):
            assert len(slot.options.get("tooltip", "")) >= 10, f"{name}: {slot} has no tooltip"


def test_schema_ids_are_the_parameters_of_execute(node_classes):
    for node in node_classes:
        schema = node.define_schema()
        parameters = inspect.signature(node.execute).parameters
        assert [slot.id for slot in schema.inputs] == list(parameters), schema.node_id
        for slot in schema.inputs:
            has_default = parameters[slot.id].default is not inspect.Parameter.empty
            assert has_default == slot.optional, f"{schema.node_id}.{slot.id}"


def test_defaults_of_execute_are_those_of_the_schema(node_classes):
    for node in node_classes:
        for slot in node.define_schema().inputs:
            if slot.optional and "default" in slot.options:
                assert inspect.signature(node.execute).parameters[slot.id].default == slot.options["default"]


def test_official_settings_are_the_defaults(schemas):
    defaults = {slot.id: slot.options.get("default") for slot in schemas["FantasyID_Sampler"].inputs}
    assert (defaults["steps"], defaults["cfg"]) == (50, 6.0)
    (solver,) = (slot for slot in schemas["FantasyID_Sampler"].inputs if slot.id == "solver")
    assert solver.options["options"] == ["dpm", "ddim"]


def test_a_node_is_a_schema_plus_one_call(node_classes):
    for node in node_classes:
        (function,) = ast.parse(textwrap.dedent(inspect.getsource(node.execute))).body
        lines = function.end_lineno - function.body[0].lineno + 1
        assert lines <= 12, f"{node.__name__}.execute has {lines} lines: move code into the core"


def test_every_node_has_a_help_page_that_names_its_settings(schemas):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
    assert set(pages) == set(schemas)
    for name, schema in schemas.items():
        assert pages[name].startswith(f"# {schema.display_name}\n")
        settings = [slot.id for slot in schema.inputs if len(schema.inputs) > 1 and "options" in slot.options]
        assert all(setting in pages[name] for setting in settings), name


def test_nodes_import_relatively_and_never_the_hosts_module_named_nodes():
    allowed = {"__future__", "asyncio", "collections", "comfy_api", "dataclasses", "fnmatch", "folder_paths",
               "functools", "hashlib", "importlib", "io", "logging", "os", "pathlib", "shutil", "sys", "torch", "numpy",
               "typing"}  # fmt: skip
    for path in sorted((ROOT / "nodes").glob("*.py")):
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(statement, ast.Import):
                names = {alias.name.split(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                names = {statement.module.split(".")[0]}
            else:
                continue
            assert names <= allowed, f"{path.name} imports {names - allowed}"


def test_every_node_can_be_cancelled_and_names_a_package_that_is_missing(node_classes, monkeypatch):
    """Before any work: no input is even looked at."""
    import sys

    for kind in node_classes:
        assert hasattr(kind.execute, "__wrapped__"), kind.__name__
    monkeypatch.setitem(sys.modules, "trimesh", None)
    (save,) = (kind for kind in node_classes if kind.__name__ == "SaveShape")
    with pytest.raises(RuntimeError, match="This node needs the package trimesh, which is not .* install"):
        save.execute(shape=None, filename_prefix="a", format=".ply")

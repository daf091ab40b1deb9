"""The `models` entries of the workflows: from them the host's panel of missing models offers each download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fantasyid_core.modelfiles.table import MODEL_FILES

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted([*(ROOT / "workflows").glob("*.json"), *(ROOT / "subgraphs").glob("*.json")])
LOADERS = {
    "FantasyID_LoadModel": ("weights", "consisid"),
    "FantasyID_LoadFaceEncoder": ("eva_clip",),
    "CLIPLoader": ("t5",),
    "VAELoader": ("vae",),
}
OWN = "FantasyID-Tiny"  # comes along
OFFERED = ".safetensors", ".pt"  # by the host's panel, and from this one address
HUB = "https://huggingface.co/"


def expected(kind: str, name: str) -> dict[str, str]:
    """What the table of model files says about the file `name` of a loader."""
    rows = {row.key: row for row in MODEL_FILES}
    for row in (rows[key] for key in LOADERS[kind]):
        folder, _, below = row.belongs.partition("/")
        if name not in (below, below.partition("/")[0], *(row.download.addresses[0].split("/")[1:])):
            continue
        whole = row.download.file is None
        address = row.download.page if whole else f"{row.download.page}/resolve/main/{row.download.path}"
        return {"name": name, "url": address, "directory": folder}
    raise AssertionError(f"{kind}: no row of the table is called {name}")


def loaders(workflow: dict) -> list[dict]:
    inside = [node for each in workflow.get("definitions", {}).get("subgraphs", []) for node in each["nodes"]]
    return [node for node in (*workflow["nodes"], *inside) if node["type"] in LOADERS]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_loader_says_where_its_file_comes_from(path):
    for node in loaders(json.loads(path.read_text(encoding="utf-8"))):
        name = node["widgets_values"][0]
        found = node["properties"].get("models", [])
        assert found == ([] if name == OWN else [expected(node["type"], name)]), f"node {node['id']}"


def test_single_files_are_such_as_the_panel_offers():
    entries = [
        entry
        for path in WORKFLOWS
        for node in loaders(json.loads(path.read_text(encoding="utf-8")))
        for entry in node["properties"].get("models", [])
        if node["type"] != "FantasyID_LoadModel"  # a folder of several files, which the panel cannot fetch
    ]
    assert len({entry["name"] for entry in entries}) == 3
    for entry in entries:
        assert entry["url"].startswith(HUB) and entry["name"].endswith(OFFERED)
        assert entry["url"].endswith(OFFERED)


def test_the_blueprint_holds_the_nodes_of_its_workflow():
    (blueprint,) = (ROOT / "subgraphs").glob("*.json")
    (inside,) = json.loads(blueprint.read_text(encoding="utf-8"))["definitions"]["subgraphs"]
    workflow = json.loads((ROOT / "workflows" / "one_photo_to_video.json").read_text(encoding="utf-8"))
    whole = {node["id"]: node for node in workflow["nodes"]}
    for node in inside["nodes"]:
        values = [value for value in node["widgets_values"] if value not in ("fixed", "randomize")]
        assert node["type"] == whole[node["id"]]["type"]
        assert values == [value for value in whole[node["id"]]["widgets_values"] if value not in ("fixed", "randomize")]
    links = {link["id"]: link for link in inside["links"]}
    ends = [(link["target_id"], link["target_slot"]) for link in links.values()]
    assert len(ends) == len(set(ends))
    nodes = {node["id"]: node for node in inside["nodes"]}
    for link in links.values():
        if link["origin_id"] > 0:
            assert link["id"] in nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["links"]
        if link["target_id"] > 0:
            assert nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]

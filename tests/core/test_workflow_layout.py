"""No node of a workflow covers another, in either renderer of the host.

data/node_heights.json: how tall a node of each kind is at least, its title included, as tests/web measures it in the
host's page.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boxes import Box, covering, node_box

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
HEIGHTS = json.loads((ROOT / "tests" / "data" / "node_heights.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("renderer", ["litegraph", "nodes2"])
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_node_covers_another(path, renderer):
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    assert not covering(node_box(node, HEIGHTS.get(node["type"], {}).get(renderer, 0)) for node in nodes)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_group_holds_its_nodes_whole_and_groups_lie_apart(path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    groups = [Box(group["title"], *group["bounding"]) for group in workflow["groups"]]
    assert not covering(groups)
    for node in workflow["nodes"]:
        least = max(HEIGHTS.get(node["type"], {"": 0}).values())
        for group in groups:
            assert not group.covers(node_box(node)) or group.holds(node_box(node, least)), (node["id"], group)

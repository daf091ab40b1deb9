"""The workflow as the frontend saves it -> as it sends it to the host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from comfy_process import ROOT

WITHOUT_EFFECT = ("MarkdownNote", "Note")
NUMBERS_AND_TEXT = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
BYPASSED = 4  # a node's mode
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
OUTSIDE = -10  # the origin of links from the inputs of a subgraph


def api_form(workflow: dict, object_info: Mapping[str, dict]) -> dict:
    """`workflow` (litegraph 0.4) in API form; object_info: node id -> what the host tells the frontend.

    A node 3 inside of the subgraph node 11 is called "11:3". ValueError when widgets, inputs or links do not fit the
    nodes.
    """
    nodes, links = flattened(workflow)
    return {
        name: {"class_type": node["type"], "inputs": _inputs(node, object_info[node["type"]], links[name])}
        for name, node in nodes.items()
    }


def kinds_of(workflow: dict) -> set[str]:
    """The kinds of nodes that the host runs."""
    return {node["type"] for node in flattened(workflow)[0].values()}


def flattened(workflow: dict) -> tuple[dict[str, dict], dict[str, dict[int, list]]]:
    """Nodes by name, and for each the source [name, output] of every link that it has; no subgraph is left."""
    subgraphs = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}
    whole = {str(node["id"]): node for node in workflow["nodes"] if node["type"] not in WITHOUT_EFFECT}
    links = {link[0]: _source(str(link[1]), link[2], whole, subgraphs) for link in workflow["links"]}
    for node in whole.values():
        if node["mode"] == BYPASSED:
            _pass_by(node, links)
    nodes, sources = {}, {}
    for name, node in whole.items():
        if node["mode"] == BYPASSED:
            continue
        if node["type"] in subgraphs:
            subgraph = subgraphs[node["type"]]
            nodes |= {f"{name}:{each['id']}": each for each in subgraph["nodes"]}
            given = [links[each["link"]] for each in node["inputs"]]
            inside = {link["id"]: _inner_source(name, link, given) for link in subgraph["links"]}
            sources |= {f"{name}:{each['id']}": inside for each in subgraph["nodes"]}
        else:
            nodes[name], sources[name] = node, links
    return nodes, sources


def _source(name: str, slot: int, whole: dict[str, dict], subgraphs: dict[str, dict]) -> list:
    """Where the output `slot` of a node of the whole graph comes from."""
    subgraph = subgraphs.get(whole[name]["type"])
    if subgraph is None:
        return [name, slot]
    (link,) = (link for link in subgraph["links"] if link["id"] == subgraph["outputs"][slot]["linkIds"][0])
    return _inner_source(name, link, [])


def _inner_source(name: str, link: dict, given: list) -> list:
    if link["origin_id"] == OUTSIDE:
        return given[link["origin_slot"]]
    return [f"{name}:{link['origin_id']}", link["origin_slot"]]


def _pass_by(node: dict, links: dict) -> None:
    """Connects what comes out of a bypassed node with its first input of the same type."""
    for output in node["outputs"]:
        source = next((each["link"] for each in node["inputs"] if each["type"] == output["type"]), None)
        for link in output["links"] or ():
            links[link] = links[source]


def _inputs(node: dict, info: dict, links: dict) -> dict:
    declared = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    sockets = {each["name"]: links[each["link"]] for each in node["inputs"] if each["link"] is not None}
    unknown = set(sockets) - set(declared)
    if unknown:
        raise ValueError(f"{node['type']} has no input {unknown}")
    values = list(node.get("widgets_values", []))
    widgets = dict(_widgets(declared, values, ""))
    if values:
        raise ValueError(f"{node['type']} has no widgets for {values}")
    return {name: value for name, value in ({**widgets, **sockets}).items()}


def _widgets(declared: dict, values: list, prefix: str) -> Iterator[tuple[str, object]]:
    """Takes the values from the front, in the order in which the frontend makes widgets."""
    for name, (kind, options, *_) in ((name, (*spec, {})) for name, spec in declared.items()):
        if not (isinstance(kind, list) or kind in (*NUMBERS_AND_TEXT, DYNAMIC)) or options.get("forceInput"):
            continue
        if not values:
            return  # saved before the node got this input, or hidden: the host has a default
        value = values.pop(0)
        yield prefix + name, value
        if kind == DYNAMIC:
            (chosen,) = (option for option in options["options"] if option["key"] == value)
            nested = {**chosen["inputs"].get("required", {}), **chosen["inputs"].get("optional", {})}
            yield from _widgets(nested, values, f"{prefix}{name}.")
        if any(options.get(name) for name in ("control_after_generate", "image_upload", "video_upload")):
            values.pop(0)  # the widget beside it, which is not sent


def workflow_prompt(host, name: str, on: int | None = None) -> dict:
    """A shipped workflow in API form, for the small model and one step. on: a bypassed node that is switched on."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        node["mode"] = 0 if node["id"] == on else node["mode"]
    prompt = api_form(workflow, {kind: host.object_info(kind) for kind in kinds_of(workflow)})
    if name not in ("edit_a_photo", "reshape_any_video"):  # which have no model
        prompt["3"]["inputs"]["encoder"] = "eva.safetensors"
        prompt["16"]["inputs"]["steps"] = 1
    return prompt

"""The workflow as the frontend saves it -> as it sends it to the host, for workflows without subgraphs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from comfy_process import ROOT

WITHOUT_EFFECT = ("MarkdownNote", "Note")
NUMBERS_AND_TEXT = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
BYPASSED = 4  # a node's mode
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"


def api_form(workflow: dict, object_info: Mapping[str, dict]) -> dict:
    """`workflow` (litegraph 0.4) in API form; object_info: node id -> what the host tells the frontend.

    ValueError when widgets, inputs or links do not fit the nodes.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    for node in workflow["nodes"]:
        if node["mode"] == BYPASSED:
            _pass_by(node, links)
    return {
        str(node["id"]): {"class_type": node["type"], "inputs": _inputs(node, object_info[node["type"]], links)}
        for node in workflow["nodes"]
        if node["type"] not in WITHOUT_EFFECT and node["mode"] != BYPASSED
    }


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
    kinds = {node["type"] for node in workflow["nodes"]} - set(WITHOUT_EFFECT)
    prompt = api_form(workflow, {kind: host.object_info(kind) for kind in kinds})
    if name not in ("edit_a_photo", "reshape_any_video"):  # which have no model
        prompt["3"]["inputs"]["encoder"] = "eva.safetensors"
        prompt["16"]["inputs"]["steps"] = 1
    return prompt

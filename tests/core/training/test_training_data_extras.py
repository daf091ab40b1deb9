"""Subtitles and 3D faces of a video's clips."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from facevideos import (
    FRAMES,
    SETTINGS,
    TEXT,
    cut,
    faults,
    painted_tools,
    texture,
    walk,
    write,
)

from fantasyid_core.shape import save_shape, synthetic_head
from fantasyid_core.training.data.text import load_text_reader


def yellow_text(image):
    mask = (np.abs(image.astype(int) - TEXT).max(axis=2) < 60).astype(np.uint8)
    boxes = cv2.connectedComponentsWithStats(mask)[2][1:]
    return [[x, x + w, y, y + h] for x, y, w, h, _ in boxes]


class Reader:
    """As easyocr.Reader: detect -> boxes x0, x1, y0, y1 of one picture, and slanted ones."""

    def __init__(self, languages, gpu, recognizer, download_enabled, verbose):
        assert not download_enabled

    def detect(self, image):
        return [yellow_text(image)], [[]]


def test_clips_with_subtitles_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "easyocr", SimpleNamespace(Reader=Reader))
    reader, note = load_text_reader("auto", None)
    assert reader.name == "easyocr" and not note
    pictures = walk(60, texture(1))
    for frame in pictures[:27]:
        frame[140:152, 40:200] = TEXT
    tools = painted_tools(SETTINGS, text=reader)
    state = cut(tmp_path, pictures, tools=tools)
    assert faults(state) == ["text"] and "5.0%" in state["rejected"][0]["detail"]
    assert [clip["seconds"] for clip in state["clips"]] == [1.125]
    assert len(cut(tmp_path, None, replace(SETTINGS, text_area=0.1), tools)["clips"]) == 2


def test_without_a_text_detector_it_is_said_and_gone_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "easyocr", None)
    reader, note = load_text_reader("auto", None)
    assert reader is None and "pip install easyocr" in note
    with pytest.raises(RuntimeError, match="pip install easyocr"):
        load_text_reader("easyocr", None)
    assert load_text_reader("none", None) == (None, "")


def test_a_text_detector_without_its_network_says_how_to_get_it(monkeypatch):
    def without(*args, **options):
        raise FileNotFoundError("Missing craft_mlt_25k.pth")

    monkeypatch.setitem(sys.modules, "easyocr", SimpleNamespace(Reader=without))
    with pytest.raises(FileNotFoundError, match=r"fetch the file once.*easyocr\.Reader"):
        load_text_reader("auto", None)


def test_opencvs_text_network_finds_bright_areas_as_text(tmp_path):
    """A stand-in of a DB network: the probability of text is high where it is white."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 3, 1, 1], [10.0, 10.0, 10.0])
    bias = helper.make_tensor("b", TensorProto.FLOAT, [1], [-10.0])
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["y"], ["p"]),
    ]
    ends = [helper.make_tensor_value_info(*each) for each in (
        ("x", TensorProto.FLOAT, [1, 3, 736, 736]), ("p", TensorProto.FLOAT, [1, 1, 736, 736])
    )]  # fmt: skip
    graph = helper.make_graph(nodes, "db", ends[:1], ends[1:], [weight, bias])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "db.onnx")
    reader, note = load_text_reader("auto", str(tmp_path / "db.onnx"))
    image = np.zeros((160, 240, 3), np.uint8)
    assert reader.name.startswith("opencv db.onnx") and not note and reader.share(image) == 0
    image[120:140, 40:200] = 255
    (box,) = reader.boxes(image)
    assert box[0] <= 42 and box[2] >= 197 and box[1] <= 122 and box[3] >= 138 and reader.share(image) < 0.25


def test_a_text_network_that_is_missing_or_none_says_so(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="not a network that OpenCV reads"):
        load_text_reader("opencv", str(tmp_path / "x.onnx"))
    with pytest.raises(FileNotFoundError, match="no text network at"):
        load_text_reader("opencv", str(tmp_path / "absent.onnx"))


def test_a_3d_face_beside_the_video_is_taken_along(tmp_path):
    vertices = synthetic_head(3)[0]
    write(tmp_path / "in" / "v.mp4", walk(FRAMES * 2 + 3, texture(1)))
    save_shape(vertices, tmp_path / "in" / "v.ply")
    settings = replace(SETTINGS, shape="sidecar", vertices=len(vertices))
    state = cut(tmp_path, None, settings)
    paths = {clip["vertices"] for clip in state["clips"]}
    assert len(state["clips"]) == 2 and len(paths) == 1
    np.testing.assert_array_equal(np.load(tmp_path / "out" / paths.pop()), vertices.numpy())
    state = cut(tmp_path, None, replace(settings, vertices=100))
    assert state["clips"][0]["vertices"] is None and "v.ply is not used" in state["problems"][0]


def test_deca_and_flame_make_the_3d_face_of_the_most_frontal_view(tmp_path):
    given = []

    def reconstruct(face):
        given.append(face)
        return (
            (np.ones((7, 3), np.float32) * 0.01 * np.arange(7)[:, None], "") if len(given) == 1 else (None, "no luck")
        )

    settings = replace(SETTINGS, shape="auto", every=1)
    tools = painted_tools(settings, reconstruct=reconstruct)
    state = cut(tmp_path, walk(FRAMES * 2 + 3, texture(1)), settings, tools)
    first, second = state["clips"]
    assert np.load(tmp_path / "out" / first["vertices"]).shape == (7, 3) and second["vertices"] is None
    assert state["problems"] == ["no 3D face: no luck"] and given[0].crop.shape == (64, 64, 3)

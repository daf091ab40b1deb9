"""What an edit means: Python against the golden file that the browser's tests read too, and both on real heads."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from facesamples import OWN, SAMPLES, faces_of, own_head, sample

from fantasyid_core.shape.edit.blend import circle_weights
from fantasyid_core.shape.edit.controlpack import pack_controls
from fantasyid_core.shape.edit.controls import STEP, FaceControls
from fantasyid_core.shape.edit.controltable import Slider
from fantasyid_core.shape.edit.edit import edit_shape
from fantasyid_core.shape.edit.editstate import parse_edit
from fantasyid_core.shape.head import synthetic_head

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden_edit.json").read_text(encoding="utf-8"))
EDITS = [
    "{}",
    '{"version":1,"values":{"face_width":1,"jaw_sharpness":-0.333,"age":0.71}}',
    '{"version":1,"values":{"nose_width":{"left":0.5,"right":-0.25},"eye_size":{"left":0,"right":1},"weight":-1}}',
]


@pytest.fixture(scope="module")
def controls():
    found = GOLDEN["controls"]
    return FaceControls(
        {name: Slider(name, "", "", (), None, each["low"], each["high"]) for name, each in found.items()},
        np.array([each["steps"] for each in found.values()], np.int16),
        np.array(GOLDEN["left"], np.uint16),
    )


@pytest.mark.parametrize("case", GOLDEN["edits"], ids=[case["text"] or "empty" for case in GOLDEN["edits"]])
def test_an_edit_means_what_the_golden_file_says(case, controls):
    values = dict(parse_edit(case["text"]).values)
    assert {name: list(pair) for name, pair in values.items()} == case["values"]
    moved = np.array(GOLDEN["vertices"], np.float32) + (controls.displacement(values) if values else 0)
    assert np.abs(moved - case["vertices"]).max() < 1e-8
    assert STEP == GOLDEN["step"]


@pytest.mark.parametrize("case", GOLDEN["circle"], ids=str)
def test_shares_on_the_circle_are_those_of_the_golden_file(case):
    np.testing.assert_allclose(circle_weights(case["x"], case["y"], case["count"]), case["weights"], atol=1e-9)


@pytest.fixture
def browser():
    """Packed head and edits -> what the browser's code makes of them, run in Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip(
            "node is absent: the browser's code could not be compared with Python (install Node.js 20 or newer)"
        )

    def run(content: bytes, edits: list[str], folder: Path) -> list[np.ndarray]:
        packed = folder / "head.bin"
        packed.write_bytes(content)
        command = [node, str(HERE / "edit_in_node.mjs"), str(packed)]
        done = subprocess.run(command, input=json.dumps(edits), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [np.array(each, np.float32).reshape(-1, 3) for each in json.loads(done.stdout)]

    return run


def test_the_browser_shows_what_python_computes_on_the_projects_head(browser, tmp_path):
    vertices, faces = synthetic_head(4)
    edits = [*EDITS, '{"version":1,"values":{"third_eye":1,"chin_height":7}}']
    shown = browser(pack_controls(vertices, faces), edits, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the unknown control
        expected = [edit_shape(vertices, text) for text in edits]
    for mine, python in zip(shown, expected, strict=True):
        assert np.abs(mine - python.numpy()).max() < 1e-7
    assert not np.array_equal(shown[1], shown[0])


def test_the_browser_shows_what_python_computes_on_people(browser, tmp_path):
    for name in OWN:
        shows_the_same(browser, tmp_path, *own_head(name)[1:3])


def test_the_browser_shows_what_python_computes_on_official_heads(browser, tmp_path, licensed):
    for name in SAMPLES:
        shows_the_same(browser, tmp_path, sample(licensed, name), faces_of(licensed))


def shows_the_same(browser, tmp_path, vertices, faces):
    content = pack_controls(vertices, faces)
    assert len(content) < 2e6
    for mine, text in zip(browser(content, EDITS, tmp_path), EDITS, strict=True):
        assert np.abs(mine - edit_shape(vertices, text)).max() < 1e-7

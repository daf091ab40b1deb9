"""The workflow that runs after installation with nothing but a photo, in the real ComfyUI without any model file."""

from __future__ import annotations

import numpy as np
import pytest
from comfy_process import NodeError
from PIL import Image
from workflow_form import workflow_prompt


@pytest.fixture
def prompt(host, pack, monkeypatch):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photo is missing")
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    Image.fromarray(data.astronaut()).save(host.input_dir / "astronaut.jpg", quality=95)
    prompt = workflow_prompt(host, "edit_a_photo")
    prompt["2"]["inputs"]["image"] = "astronaut.jpg"
    prompt["7"]["inputs"]["compare_view"] = ""  # what the frontend's widget sends
    return prompt


def compared(host, outputs):
    import folder_paths

    pictures = []
    for name in ("a_images", "b_images"):
        (saved,) = outputs["7"][name]
        path = f"{folder_paths.get_temp_directory()}/{saved['subfolder']}/{saved['filename']}"
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(int))
    return pictures


def test_a_photo_alone_is_edited_and_compared(host, prompt, monkeypatch):
    from server import PromptServer

    said = {}
    monkeypatch.setattr(PromptServer.instance, "send_progress_text", lambda text, node, _: said.update({node: text}))
    before, after = compared(host, host.run(prompt))
    assert before.shape == after.shape == (512, 512, 3)
    changed = np.abs(after - before).mean(axis=-1)
    assert changed[150:450, 130:380].mean() > 3 * changed[:30].mean() and changed.mean() > 1
    assert "hardly more than the head's turn" in said["4"] and "vertices" in said["4"]
    prompt["5"]["inputs"]["edit"] = "{}"
    before, after = compared(host, host.run(prompt))
    assert np.array_equal(before, after), "no edit changes no pixel"


@pytest.mark.parametrize("method", ["landmarks", "template"])
def test_every_method_but_deca_needs_no_file(host, prompt, method):
    prompt["4"]["inputs"]["method"] = method
    assert compared(host, host.run(prompt))[1].shape == (512, 512, 3)


def test_deca_without_its_files_and_unknown_methods_are_explained(host, prompt):
    prompt["4"]["inputs"]["method"] = "deca"
    with pytest.raises(NodeError, match="deca_model.tar"):
        host.run(prompt)
    prompt["4"]["inputs"]["method"] = "magic"
    with pytest.raises(NodeError, match="Expected a method out of auto, deca, landmarks, template, got 'magic'"):
        host.run(prompt)

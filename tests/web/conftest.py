"""The face editor on a page of its own, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import chromium, page_server
from comfyui_server import comfyui_server, give_input
from comfyuipage import RENDERERS, open_page

from fantasyid_core.shape.edit.controlpack import pack_controls
from fantasyid_core.shape.head import synthetic_head

PAGE = Path(__file__).with_name("page.html")


@pytest.fixture(scope="session")
def head():
    """Vertices and faces of the project's own head."""
    return synthetic_head(4)


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one file of tests: its driver keeps an event loop running, and tests of nodes start their own."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def address(head):
    with page_server({"/": PAGE.read_bytes(), "/head.bin": pack_controls(*head)}) as found:
        yield found


@pytest.fixture
def page(browser, address):
    """An empty page; a test fails when the console showed an error."""
    context = browser.new_context(viewport={"width": 460, "height": 660}, device_scale_factor=1)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(address)
    page.wait_for_function("window.loaded")
    yield page
    context.close()
    assert not problems


@pytest.fixture
def editor(page):
    """A page with one editor, as `window.editor`."""
    page.evaluate("async () => { window.editor = await addEditor(); }")
    page.wait_for_function("editor.stage.viewer.frames > 0")
    return page


@pytest.fixture(scope="session")
def comfy(comfyui, portraits, tmp_path_factory):
    """ComfyUI with this pack, two heads, a photo and the mesh topology."""
    with comfyui_server(comfyui, tmp_path_factory.mktemp("comfyui")) as server:
        give_input(server, portraits("one.ply"), "face.ply")
        give_input(server, portraits("two.ply"), "two.ply")
        give_input(server, portraits("one.png"), "face.png")  # ComfyUI's decoder of JPEG is not ours
        topology = server.base / "models" / "fantasyid" / "topology.safetensors"
        topology.parent.mkdir(exist_ok=True)
        topology.write_bytes(portraits("topology.safetensors").read_bytes())
        yield server


@pytest.fixture(scope="module", params=RENDERERS)
def opened(request, comfy, browser):
    """ComfyUI's page in one of its renderers."""
    comfy.set("Comfy.VueNodes.Enabled", RENDERERS[request.param])
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, device_scale_factor=1)
    page = context.new_page()
    page.renderer, page.problems = request.param, []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console", lambda line: line.type == "error" and "fantasyid" in line.text and page.problems.append(line.text)
    )
    open_page(page, comfy)
    yield page
    context.close()

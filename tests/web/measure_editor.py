"""How fast the face editor is here: `python tests/web/measure_editor.py [HEAD.ply TRANSFORM.pkl]`.

Prints milliseconds of Python's and the browser's parts, and frames per second while the chin is dragged, in Chromium
without a graphics card. No test asserts these: they are the machine's as much as the editor's.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers"), str(HERE.parents[1])]
from chromium import chromium, page_server  # noqa: E402

from fantasyid_core.face.align import TEMPLATE, FaceCrop  # noqa: E402
from fantasyid_core.shape import FaceShape, edit_shape, load_shape, load_topology, synthetic_head  # noqa: E402
from fantasyid_core.shape.edit.controltable import CONTROLS  # noqa: E402
from fantasyid_core.shape.edit.editor import pack_heads  # noqa: E402
from fantasyid_core.shape.edit.warp import warp_face  # noqa: E402

PAGE = Path(__file__).with_name("page.html")
FIRST = """async () => {
  const editor = await addEditor();
  window.editor = editor;
  while (!editor.stage.viewer?.frames) await new Promise(requestAnimationFrame);
  const buffer = await (await fetch("/head.bin")).arrayBuffer();
  const taken = [];
  for (let n = 0; n < 9; n++) {
    const start = performance.now(), frames = editor.stage.viewer.frames;
    await editor.showHead(buffer.slice(0));
    while (editor.stage.viewer.frames === frames) await new Promise(requestAnimationFrame);
    taken.push(performance.now() - start);
  }
  return taken;
}"""
DRAG = """async ([x, y]) => {
  const { canvas, viewer } = editor.stage;
  const send = (kind, at) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, buttons: 1, clientX: x, clientY: at, bubbles: true, isPrimary: true }));
  canvas.setPointerCapture = () => {}; // the pointer is made up
  send("pointerdown", y);
  const start = performance.now(), frames = viewer.frames;
  for (let n = 0; n < 240; n++) {
    send("pointermove", y + 25 * Math.sin(n / 12));
    await new Promise(requestAnimationFrame);
  }
  const rate = (1000 * (viewer.frames - frames)) / (performance.now() - start);
  send("pointerup", y);
  return rate;
}"""


def main() -> None:
    vertices, faces = _head(sys.argv[1:])
    values = {name: 0.3 for name in list(CONTROLS)[:30]}
    edited = edit_shape(vertices, {"face_width": 0.5})
    face = FaceCrop(np.zeros((512, 512, 3), np.uint8), np.eye(2, 3), TEMPLATE.astype(np.float32))
    head = FaceShape(vertices, faces)
    report("edit_shape, 30 controls", lambda: edit_shape(vertices, values), 50)
    report("warp_face, 512 x 512", lambda: warp_face(face, vertices, edited, faces), 15)
    report("packing a head that is new", lambda: pack_heads(FaceShape(vertices + 1e-7 * time.time() % 1e-6, faces)), 5)
    with page_server({"/": PAGE.read_bytes(), "/head.bin": pack_heads(head)[0]}) as address, chromium() as browser:
        page = browser.new_context(viewport={"width": 460, "height": 660}).new_page()
        page.goto(address)
        page.wait_for_function("window.loaded")
        taken = page.evaluate(FIRST)
        print(f"{'bytes to first picture':40} {statistics.median(taken):8.1f} ms (most {max(taken):.1f})")
        print(f"{'frames per second while dragging':40} {_rate(page):8.1f}")


def _head(paths: list[str]):
    if paths:
        return load_shape(paths[0]), load_topology(paths[1]).faces.numpy()
    vertices, faces = synthetic_head(4)
    return vertices, faces.numpy()


def report(what: str, call, count: int) -> None:
    call()
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    print(f"{what:40} {statistics.median(taken):8.1f} ms (least {min(taken):.1f})")


def _rate(page) -> float:
    """Pictures drawn per second while the pointer moves before every frame, faster than a test can move a mouse."""
    box = page.locator('[data-testid="fid-canvas"]').bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.78]
    return statistics.median(page.evaluate(DRAG, at) for _ in range(4))


if __name__ == "__main__":
    main()

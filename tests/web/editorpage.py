"""What the tests of the face editor's page do with it and read from it."""

from __future__ import annotations

import json

DRAWN = """() => {
  const { canvas } = editor.stage;
  editor.stage.viewer.draw();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0, drawn = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (31 * hash + data[i] + 7 * data[i + 1]) | 0;
    drawn += data[i + 3] > 128;
  }
  return { hash, share: drawn / (canvas.width * canvas.height) };
}"""
"""What the editor's canvas shows: a number that changes with the picture, and the share of it that is drawn."""


def part(page, name: str):
    return page.locator(f'[data-testid="fid-{name}"]')


def edit(page) -> dict:
    return json.loads(page.evaluate("editor.value"))


def values(page) -> dict:
    return edit(page).get("values", {})


def slider_at(page, name: str, share: float) -> tuple[float, float]:
    slider = part(page, f"slider-{name}")
    page.evaluate(f"editor.panel.reveal('{name}')")
    box = slider.bounding_box()
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def drag(page, start, end, **how) -> None:
    page.mouse.move(*start)
    page.mouse.down(**how)
    page.mouse.move(*end, steps=8)
    page.mouse.up(**how)


def on_face(page, x: float, y: float) -> tuple[float, float]:
    """The place of the page where a point of the face, seen from the front, is (metres)."""
    box = part(page, "canvas").bounding_box()
    found = page.evaluate(
        """([x, y]) => {
          const { viewer, canvas } = editor.stage;
          const near = (v) => Math.hypot(viewer.vertices[v] - x, viewer.vertices[v + 1] - y) - viewer.vertices[v + 2];
          let best = 0;
          for (let v = 0; v < viewer.vertices.length; v += 3) if (near(v) < near(best)) best = v;
          viewer.pick(0, 0);
          return [viewer._pixels[best], viewer._pixels[best + 1]];
        }""",
        [x, y],
    )
    return box["x"] + found[0], box["y"] + found[1]

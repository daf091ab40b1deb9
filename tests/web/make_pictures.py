"""Makes the pictures of the README anew: `python tests/web/make_pictures.py`. Needs numba, Playwright and Chromium.

`result.png` shows one picture, three 3D faces, and FantasyID-Tiny's videos of them, with equal noise and prompt.
`editor.png` shows the face editor in Chromium. Both go to docs/pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers"), str(ROOT)]
from chromium import chromium, page_server  # noqa: E402

from fantasyid_core.people.portrait import make_portrait  # noqa: E402
from fantasyid_core.shape.draw.drawing import draw_head  # noqa: E402
from fantasyid_core.shape.edit.controlpack import pack_controls  # noqa: E402
from fantasyid_core.shape.edit.edit import edit_face  # noqa: E402
from fantasyid_core.shape.edit.editstate import edit_from_values  # noqa: E402
from fantasyid_core.tinymodel.sampler import TinySampler  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
PERSON, OTHER = 10**9 + 15, 10**9 + 3  # people that FantasyID-Tiny has never seen
PROMPT = "turns the head from left to right and smiles, blue background, light from the front"
FRAMES = 0, 2, 4, 6, 8
CELL, GAP, LABEL = 136, 6, 20
PAPER, INK = (250, 249, 246), (40, 40, 44)
EDIT = '{"version": 1, "values": {"face_width": 0.35, "jaw_width": -0.3, "nose_length": -0.4, "chin_height": 0.3}}'


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    person, other = make_portrait(PERSON), make_portrait(OTHER)
    shapes = {
        "3D face": person.shape,
        "wider, by slider": edit_face(person.shape, edit_from_values({"face_width": 1.0, "jaw_width": 1.0})),
        "another's 3D face": other.shape,
    }
    reference = person.face.crop
    sampler = TinySampler()
    clips = [sampler(shape.vertices.numpy(), reference[None], PROMPT, seed=0) for shape in shapes.values()]
    save(result(reference, shapes, clips), PICTURES / "result.png")
    save_editor(person.shape, PICTURES / "editor.png")


def result(reference: np.ndarray, shapes: dict, clips: list[np.ndarray]) -> Image.Image:
    """A row per 3D face: the picture once, the 3D face, five frames of its video."""
    columns, rows = 2 + len(FRAMES), len(clips)
    size = GAP + columns * (CELL + GAP), rows * (CELL + LABEL) + GAP
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)

    def put(picture: np.ndarray, title: str, row: int, column: int) -> None:
        left, top = GAP + column * (CELL + GAP), row * (CELL + LABEL)
        pen.text((left, top + 3), title, fill=INK, font=font)
        sheet.paste(Image.fromarray(picture).resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top + LABEL))

    put(reference, "picture", 0, 0)
    for row, ((title, shape), clip) in enumerate(zip(shapes.items(), clips, strict=True)):
        put(head_of(shape), title, row, 1)
        for column, frame in enumerate(FRAMES):
            put(clip[frame], f"video, frame {frame + 1} of {len(clip)}", row, 2 + column)
    return sheet


def head_of(shape) -> np.ndarray:
    """The head from the front, without the empty margin around it: uint8 [S,S,3]."""
    side = 400
    front = draw_head(shape.vertices.numpy(), shape.faces, side)[:, :side]
    return front[side // 10 : -side // 6, side * 2 // 15 : -side * 2 // 15]


def save(picture: Image.Image, path: Path) -> None:
    """A small PNG: 256 colours are enough for what is shown."""
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def save_editor(shape, path: Path, edit: str = EDIT) -> None:
    """The editor with a few sliders moved, as it shows on a wide node."""
    page_html = (
        (HERE / "page.html").read_bytes().replace(b"width: 420px; height: 600px", b"width: 860px; height: 560px")
    )
    head = pack_controls(shape.vertices.numpy(), shape.faces)
    with page_server({"/": page_html, "/head.bin": head}) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 600})
        page.goto(address)
        page.wait_for_function("window.loaded")
        page.evaluate("async (edit) => { window.editor = await addEditor(edit); }", edit)
        page.wait_for_function("editor.stage.viewer.frames > 0")
        page.evaluate("editor.panel.reveal('nose_length')")
        page.wait_for_timeout(500)
        page.locator(".place").screenshot(path=path)
    with Image.open(path) as picture:
        save(picture.convert("RGB"), path)


if __name__ == "__main__":
    main()

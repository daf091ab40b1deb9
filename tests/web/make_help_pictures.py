"""Makes the pictures of the nodes' help pages anew: `python tests/web/make_help_pictures.py [NAME ...]`.

Needs numba, Playwright and Chromium. The pictures go to web/docs/pictures; they show the shipped example photos, drawn
people, the shipped photo of an astronaut (NASA, public domain), and videos of FantasyID-Tiny.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from make_pictures import OTHER, PERSON, PROMPT, head_of, save_editor
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PICTURES = ROOT / "web" / "docs" / "pictures"
QUALITY = 82  # of JPEG
GAP, LABEL, PAPER, INK = 6, 20, (250, 249, 246), (40, 40, 44)
EDIT = '{"version": 1, "values": {"face_width": 0.6, "jaw_width": -0.5, "nose_length": 0.7, "chin_height": 0.5}}'

Cells = list[tuple[str, np.ndarray]]  # title, picture


def sheet(rows: list[Cells], cell: int, height: int | None = None) -> Image.Image:
    """Rows of titled pictures, each `cell` pixels wide and `height` tall, or as tall as wide."""
    height = height or cell
    label = LABEL if any(title for row in rows for title, _ in row) else 0
    columns = max(len(row) for row in rows)
    paper = Image.new("RGB", (columns * (cell + GAP) + GAP, len(rows) * (height + label + GAP) + GAP), PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(13)
    for y, row in enumerate(rows):
        for x, (title, picture) in enumerate(row):
            left, top = GAP + x * (cell + GAP), GAP + y * (height + label + GAP)
            pen.text((left, top), title, fill=INK, font=font)
            paper.paste(Image.fromarray(picture).resize((cell, height), Image.Resampling.LANCZOS), (left, top + label))
    return paper


def astronaut(border: str = "extended"):
    """The photo's crop, and its 3D face as Reconstruct Face fits it."""
    from fantasyid_core.face.photo import FaceRequest, find_face
    from fantasyid_core.face.picture import load_picture
    from fantasyid_core.shape.reconstruct.landmark_fit import fit_landmarks, own_head
    from fantasyid_core.tools.demophoto import PHOTO

    face = find_face([load_picture(PHOTO)], FaceRequest("mediapipe", border=border)).face
    return face, fit_landmarks(face, own_head())


def portraits():
    from fantasyid_core.people.portrait import make_portrait

    return make_portrait(PERSON), make_portrait(OTHER)


def crop_face() -> Image.Image:
    from fantasyid_core.face.photo import FaceRequest, find_face
    from fantasyid_core.face.picture import load_picture

    photo = load_picture(ROOT / "people" / "fantasyid_two_people.jpg")
    found = find_face([photo], FaceRequest("mediapipe", how="left to right", number=1))
    numbered = Image.fromarray(found.numbered[0])
    height = round(300 * numbered.height / numbered.width)
    paper = Image.new("RGB", (300 + height + 3 * GAP, height + 2 * GAP), PAPER)
    paper.paste(numbered.resize((300, height), Image.Resampling.LANCZOS), (GAP, GAP))
    crop = Image.fromarray(found.face.first_picture).resize((height, height), Image.Resampling.LANCZOS)
    paper.paste(crop, (300 + 2 * GAP, GAP))
    return paper


def reconstruct_face() -> Image.Image:
    from fantasyid_core.shape.draw.drawing import draw_head, draw_overlay

    face, fit = astronaut()
    seen = fit.shape.seen
    inside = seen[:, :2] @ face.matrix[:, :2].T + face.matrix[:, 2]
    over = draw_overlay(face.first_picture, inside, seen[:, 2], fit.shape.faces)
    head = draw_head(fit.shape.vertices.numpy(), fit.shape.faces, 512, ("three-quarter",))
    return sheet([[("the crop", face.first_picture), ("the head over it", over), ("the 3D face", head)]], 190)


def warp_face() -> Image.Image:
    from fantasyid_core.shape.edit.edit import edit_shape
    from fantasyid_core.shape.edit.warp import warp_face as warp

    face, fit = astronaut()
    before = fit.shape

    def to(values: dict[str, float]) -> np.ndarray:
        after = edit_shape(before.vertices, values)
        return warp(face, before.vertices, after, before.faces, before.seen).first_picture

    edits = {"face width 0.8": {"face_width": 0.8}, "nose length 0.8": {"nose_length": 0.8}}
    return sheet([[("before", face.first_picture), *((name, to(values)) for name, values in edits.items())]], 190)


def edit_shape() -> Image.Image:
    path = PICTURES / "edit_shape.png"
    save_editor(astronaut()[1].shape, path, EDIT)
    with Image.open(path) as shown:
        picture = shown.convert("RGB").resize((600, round(600 * shown.height / shown.width)), Image.Resampling.LANCZOS)
    path.unlink()
    return picture


def reshape_video() -> Image.Image:
    """Five frames of the example video before and after."""
    from fantasyid_core.shape import reshape_video as reshape
    from fantasyid_core.videofile import read_video

    before = read_video(ROOT / "people" / "fantasyid_talking.mp4")
    after = reshape(before, {"face_width": 0.8, "jaw_sharpness": 0.6, "nose_length": -0.5})
    shown = np.linspace(0, len(before) - 1, 5).astype(int)
    rows = {"before": before, "after": after}
    return sheet([[(name if n == shown[0] else "", frames[n]) for n in shown] for name, frames in rows.items()], 112)


def blend_shapes() -> Image.Image:
    from fantasyid_core.shape.edit.blend import mix_people

    people = [each.shape for each in portraits()]
    settings = {"person 1": ("1,0", 0), "half, half": ("1,1", 0), "person 2": ("0,1", 0)}
    settings |= {"exaggeration 1": ("0,1", 1.0), "exaggeration -1": ("0,1", -1.0)}
    return sheet(
        [[(name, head_of(mix_people(people, weights=w, exaggeration=e).shape)) for name, (w, e) in settings.items()]],
        112,
    )


def shape_preview() -> Image.Image:
    from fantasyid_core.shape.draw.present import draw_turntable
    from fantasyid_core.shape.edit.edit import edit_face
    from fantasyid_core.shape.edit.editstate import edit_from_values

    before = astronaut()[1].shape
    after = edit_face(before, edit_from_values({"face_width": 1.0, "nose_length": 0.8, "chin_height": 0.8}))
    turns = (("before", draw_turntable(before, 6, 256, after)), ("after", draw_turntable(after, 6, 256)))
    return sheet([[(name if n == 0 else "", each) for n, each in enumerate(turn)] for name, turn in turns], 92)


def sample_person() -> Image.Image:
    from fantasyid_core.people.portrait import make_portrait

    def row(picture: int) -> Cells:
        people = {seed: make_portrait(seed, picture, 256).face.crop for seed in range(1, 7)}
        return [(f"seed {seed}" if picture == 0 else "", crop) for seed, crop in people.items()]

    return sheet([row(0), row(1)], 92)


def apply_identity() -> Image.Image:
    """The curves that the node draws: the weights of the layers, and the strength over the sampling."""
    from fantasyid_core.identity.steering.control import Control

    control = Control(0.9, start_percent=0.1, fade_in=0.2, layers="0-6:1.2, 7-20:0.7", schedule="0.6:1, 1:0.5")
    return Image.fromarray(control.draw(21)).convert("RGB")


def the_sampler():
    from fantasyid_core.tinymodel.sampler import TinySampler

    return TinySampler()


def mix_identities() -> Image.Image:
    from fantasyid_core.identity.identityfile import mix_identities as mix

    sampler, people = the_sampler(), portraits()
    one, two = (sampler.identity(each.shape.vertices.numpy()[None], each.face.crop[None]) for each in people)
    shares = {"person 1": (1, 0), "3 : 1": (3, 1), "1 : 1": (1, 1), "1 : 3": (1, 3), "person 2": (0, 1)}
    clips = {name: sampler.make(mix([one, two], weights), [PROMPT], [0])[0] for name, weights in shares.items()}
    return sheet([[(name if n == 0 else "", clip[n]) for name, clip in clips.items()] for n in (0, 8)], 110)


def encode_prompt() -> Image.Image:
    person, sampler = portraits()[0], the_sampler()
    prompts = (
        "nods, green background, light from the left",
        "turns the head from left to right and smiles, blue background, light from the front",
        "tilts the head to the left, red background, light from the front",
    )
    rows = []
    for prompt in prompts:
        clip = sampler(person.shape.vertices.numpy(), person.face.crop[None], prompt, 0)
        rows.append([(prompt if n == 0 else "", clip[frame]) for n, frame in enumerate((0, 2, 4, 6, 8))])
    return sheet(rows, 106)


def video_conditioning() -> Image.Image:
    face = astronaut("grey")[0]
    crop = Image.fromarray(face.crop)
    paper = Image.new("RGB", (200 + 300 + 3 * GAP, 200 + LABEL + 2 * GAP), PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(13)
    stretched = "the first frame: stretched, as in training"
    for left, width, title in ((GAP, 200, "the crop"), (200 + 2 * GAP, 300, stretched)):
        pen.text((left, GAP), title, fill=INK, font=font)
        paper.paste(crop.resize((width, 200), Image.Resampling.LANCZOS), (left, GAP + LABEL))
    return paper


def score_identity() -> Image.Image:
    """Made-up values of 49 frames, as its help page says: the measure needs an ArcFace model, which is not shipped."""
    from fantasyid_core.evaluation.score import VideoScore

    frames = np.arange(49)
    likeness = 0.58 + 0.05 * np.sin(frames / 6) - 0.25 * np.exp(-(((frames - 31) / 4) ** 2))
    steady = 0.97 - 0.12 * np.exp(-(((frames[:-1] - 30) / 3) ** 2))
    motion = 0.5 + 0.35 * np.sin(frames[:-1] / 5) ** 2
    return Image.fromarray(VideoScore(likeness, steady, motion).plot(width=640, height=380))


MADE = (crop_face, reconstruct_face, edit_shape, warp_face, reshape_video, blend_shapes, shape_preview, sample_person,
        apply_identity, mix_identities, encode_prompt, video_conditioning, score_identity)  # fmt: skip


def main(names: list[str]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for make in MADE:
        if names and make.__name__ not in names:
            continue
        path = PICTURES / f"{make.__name__}.jpg"
        make().convert("RGB").save(path, quality=QUALITY, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])

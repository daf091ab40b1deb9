"""Makes the videos of the demo: people that FantasyID-Tiny has never seen, each unedited and with edited faces.

The steps are those of the nodes: portrait -> face and 3D face -> edit -> identity -> video. Beside every video is its
target: a true render of the person with the edited head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..evaluation.pixels import pixel_measures
from ..people.columns import FRAME
from ..people.instruments.comparing import correlation, psnr, signed_change
from ..people.instruments.probe import Readings, load_probe, read
from ..people.instruments.resemblance import GALLERY
from ..people.instruments.subjects import SIDE, Subject, held_out_people, scene_of
from ..people.person import HELD_OUT_FROM, sample_person
from ..people.portrait import make_portrait
from ..people.render import render_frames
from ..shape.edit.edit import edit_face
from ..shape.edit.editstate import edit_from_values
from ..shape.faceshape import FaceShape
from ..tinymodel.sampler import TinySampler

PROMPTS = (
    "turns the head from left to right and smiles, blue background, light from the front",
    "turns the head to the left and opens the mouth, green background, light from the right",
    "turns the head from right to left and raises the brows, grey background, light from the left",
)
PLAIN = "plain"
EDITS: dict[str, dict[str, float]] = {
    "wider face": {"face_width": 1.0},
    "narrow face, long chin": {"face_width": -1.0, "jaw_width": -1.0, "chin_height": 1.0},
}
"""Name -> values of the editor's sliders."""
MEASURED = {"wider face": "face_width", "narrow face, long chin": "jaw_width"}
"""What the probe reads to tell how far an edit has moved a video."""
VARIANTS = (PLAIN, *EDITS)
CROWD = 50  # people among whom a clip has to find its own


class Member(NamedTuple):
    """One person of the cast: the picture, the 3D face as it is, and what shall happen."""

    seed: int
    picture: np.ndarray  # uint8 [512,512,3]
    shape: FaceShape
    prompt: str


class Take(NamedTuple):
    """One video of a member. variant: one of `VARIANTS`; shape: the face it was made from; true: what it should be."""

    member: int
    variant: str
    shape: FaceShape
    frames: np.ndarray  # uint8 [T,64,64,3]
    true: np.ndarray  # uint8 [T,64,64,3]


def make_cast(people: Sequence[int]) -> list[Member]:
    """The held-out people of these numbers (0 is the first), with a prompt each."""
    cast = []
    for place, number in enumerate(people):
        portrait = make_portrait(HELD_OUT_FROM + number)
        prompt = PROMPTS[place % len(PROMPTS)]
        cast.append(Member(HELD_OUT_FROM + number, portrait.face.crop, portrait.shape, prompt))
    return cast


def variants_of(member: Member) -> dict[str, FaceShape]:
    """The faces of a member: as it is, and edited with the sliders."""
    faces = {name: edit_face(member.shape, edit_from_values(values)) for name, values in EDITS.items()}
    return {PLAIN: member.shape, **faces}


def make_takes(cast: Sequence[Member], sampler: TinySampler, seed: int) -> list[Take]:
    """All variants of all members. The noise is the same for all, so that only the face and the prompt differ."""
    shots = [(place, *item) for place, member in enumerate(cast) for item in variants_of(member).items()]
    requests = [
        (shape.vertices.numpy(), cast[place].picture[None], cast[place].prompt, seed) for place, _, shape in shots
    ]
    clips = sampler.many(requests)
    return [
        Take(*shot, frames, true_frames(cast[shot[0]], shot[2], len(frames)))
        for shot, frames in zip(shots, clips, strict=True)
    ]


def true_frames(member: Member, shape: FaceShape, count: int) -> np.ndarray:  # uint8 [T,64,64,3]
    """The member drawn with its head bent to `shape`, moving as the prompt says."""
    motion, backdrop = scene_of(member.prompt)
    person = sample_person(member.seed)
    bend = shape.vertices.numpy() - person.vertices()
    return render_frames(person, motion.frames(count), backdrop, SIDE, bend=bend)


def facing(member: Member, count: int) -> int:
    """The frame in which the head looks at the camera most."""
    yaw = scene_of(member.prompt)[0].frames(count)[:, FRAME.index("yaw")]
    return int(np.abs(yaw).argmin())


def score_takes(cast: Sequence[Member], takes: Sequence[Take]) -> list[dict]:
    """The scores of every take, in their order; for what each means see `MEANING`."""
    probe = load_probe()
    crowd = {subject.person.seed: subject for subject in held_out_people(CROWD)}
    crowd |= {member.seed: Subject(member.seed) for member in cast if member.seed not in crowd}
    seeds = list(crowd)
    gallery = np.stack([read(probe, crowd[seed].portraits(GALLERY)[0]).vectors.mean(axis=0) for seed in seeds])
    plain: dict[int, tuple[Readings, Readings]] = {}
    rows = []
    for take in takes:
        member, subject = cast[take.member], crowd[cast[take.member].seed]
        true = take.true
        readings, wanted = read(probe, take.frames), read(probe, true)
        plain.setdefault(take.member, (readings, wanted))  # the first variant is the plain one
        told = {"person": member.seed, "variant": take.variant, "prompt": member.prompt}
        told |= _likeness(readings, gallery, seeds.index(member.seed), subject)
        told |= _motion(readings, take.frames, true, member.prompt)
        told |= _shape((readings, wanted), plain[take.member])
        rows.append(told | {"psnr": psnr(take.frames, true), **pixel_measures(take.frames)})
    return rows


MEANING = {
    "likeness": "cosine of the probe's vectors of the video and of other true pictures of the person; 1 is alike",
    "rank": f"place of the right person among at least {CROWD} people by that cosine; 1 is right",
    "skin_error": "mean difference of the skin's sRGB from the true one, 0..1",
    "yaw": "correlation of the head's turn in the frames with what the prompt asks for",
    "change": "correlation of the change between first and last frame with the true one",
    "face_width, jaw_width": "change against the plain video, in units of drawn people's parameters as the probe reads "
    "them; true_...: of true renders",
    "psnr": "dB against the true render of what was asked for",
}


def _likeness(readings: Readings, gallery: np.ndarray, own: int, subject: Subject) -> dict[str, float]:
    vector = readings.vectors.mean(axis=0)
    cosines = gallery @ vector / (np.linalg.norm(gallery, axis=1) * np.linalg.norm(vector))
    skin = np.abs(readings.colour("skin").mean(axis=0) - subject.person.appearance.skin).mean()
    return {
        "likeness": float(cosines[own]),
        "rank": 1 + int((cosines > cosines[own]).sum()),
        "skin_error": float(skin),
    }


def _motion(readings: Readings, frames: np.ndarray, true: np.ndarray, prompt: str) -> dict[str, float]:
    asked = scene_of(prompt)[0].frames(len(frames))[:, FRAME.index("yaw")]
    return {
        "yaw": correlation(readings.of("yaw"), asked),
        "change": correlation(signed_change(frames, True), signed_change(true, True)),
    }


def _shape(clips: tuple[Readings, Readings], plain: tuple[Readings, Readings]) -> dict[str, float]:
    """Changes of shape in the video and in the true render, relative to the unedited take."""
    return {
        f"{who}{name}": float((edited.of(name) - as_is.of(name)).mean())
        for name in MEASURED.values()
        for who, edited, as_is in zip(("", "true_"), clips, plain, strict=True)
    }

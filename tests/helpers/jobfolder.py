"""A small model, three people and twelve jobs; shared by the tests of jobs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.jobs import Job
from fantasyid_core.pipeline import Inputs, Settings
from fantasyid_core.request import PersonRequest
from fantasyid_core.shape import save_shape, synthetic_head
from fantasyid_core.shape.head import synthetic_topology
from fantasyid_core.tools.random_model import write_random_model

PEOPLE, PROMPTS = 3, 4


def write_people(folder, count=PEOPLE) -> list[PersonRequest]:
    """Photos without a face (the centre square is one) and 3D faces."""
    vertices, faces = synthetic_head(3)
    people = []
    for number in range(count):
        rows, columns = np.mgrid[0:80, 0:90]
        picture = np.stack([rows * (number + 1), columns * 2, rows + columns], axis=-1) % 256
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}.png")
        save_shape(vertices * (1 + 0.02 * number), folder / f"{number}.ply", faces)
        people.append(PersonRequest(folder / f"{number}.png", folder / f"{number}.ply", FaceRequest("none")))
    return people


def write_model(folder):
    sizes = TransformerConfig.tiny(sample_width=8, sample_height=8, sample_frames=5, num_layers=2)
    topology = synthetic_topology()
    adapter = AdapterConfig.tiny(injected_layers=2, dit_width=sizes.width, vertex_counts=topology.vertex_counts)
    return write_random_model(folder, 0, sizes, adapter, topology)


def make_jobs(folder, steps: int = 2, **changes) -> list[Job]:
    """Jobs of all people with all prompts, in an order that mixes them."""
    model, people = write_model(folder / "model"), write_people(folder)
    jobs = []
    for number in range(PEOPLE * PROMPTS):
        person, prompt = people[number % PEOPLE], f"prompt {number % PROMPTS}"
        settings = Settings(prompt, "", number, steps, device="cpu", **changes)
        jobs.append(Job(f"{number:02}.mp4", Inputs(model, person), settings, {"seed": number}))
    return jobs


def contents(folder) -> dict[str, bytes]:
    """Every file that stays, by name."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "manifest.json"
    }

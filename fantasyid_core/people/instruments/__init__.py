"""Instruments that measure videos of the project's own people (`people`), made by any sampler.

Read in this order: `probe` (what is read from a picture; trained by `train_probe`, `readable` tells how well),
`subjects` (held-out people, the true renderer and the codec as samplers), `silhouette` (widths without a network),
`comparing`, `control` (do the vertices steer, and only they), `paper_measures`, `likeness` (right person, right
motion), `details` (glasses, beards, sharpness, sliders: what is seen at first sight), `report`.

    people = held_out_people(50)
    true = TrueRenderer(people)
    report = compare({"model": sample, "codec": through_codec(true, codec)}, people)
    write_report(report, folder)
"""

from importlib import import_module

_HOMES = {
    "Probe": "probe",
    "Readings": "probe",
    "load_probe": "probe",
    "read": "probe",
    "readable": "readability",
    "SceneRequest": "subjects",
    "Subject": "subjects",
    "TrueRenderer": "subjects",
    "held_out_people": "subjects",
    "through_codec": "subjects",
    "measure_control": "vertex_control",
    "measure_leak": "vertex_control",
    "measure_clips": "resemblance",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

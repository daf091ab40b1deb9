"""Instruments that measure videos of the project's own people (`people`), made by any sampler.

Read in this order: `probe` (a network that reads a picture), `readability` (how well it reads), `subjects` (held-out
people, and the true renderer and the codec as samplers), `silhouette` (widths without a network), `comparing`
(correlations and slopes), `vertex_control` (whether the vertices, and only they, steer the face), `paper_measures`,
`resemblance` (whether person and motion are right), `details` (glasses, beards, sharpness, sliders).
`experiments.train_probe` trains the probe, and `experiments.report` compares samplers.

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

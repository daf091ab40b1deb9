"""Measures of a video's quality, as functions of features and frames.

The paper's metrics (section 4.2): RS `reference_similarity`, IFS `inter_frame_similarity`, FM `face_motion`,
FID `fid`; `pixels` needs no network. `score` applies the first three to a video and ranks several; `plot` draws them.
`evaluate` measures folders of videos (`pairing`, `measure`, `inception`) and `reportfiles` writes the report.
`comparison` runs two models on the same inputs, with `pairedtest` and `comparisonreport`. `people.instruments` measures
videos of drawn people.

Everything is imported on first use.
"""

from importlib import import_module

_HOMES = {
    "reference_similarity": "similarity",
    "reference_similarities": "similarity",
    "inter_frame_similarity": "similarity",
    "inter_frame_similarities": "similarity",
    "face_motion": "motion",
    "face_motions": "motion",
    "fid": "frechet",
    "pixel_measures": "pixels",
    "VideoScore": "score",
    "best_of": "score",
    "combined_score": "score",
    "score_identity": "score",
    "score_video": "score",
    "score_plot": "plot",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

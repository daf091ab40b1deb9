"""The nodes that measure how much a video resembles the person, and that keep the best of several seeds."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import AUTO, NAMED_DETECTORS
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, FaceType, ShapeType
from .video import sampling_inputs
from .words import detector_notes, detector_problem


class ScoreIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ScoreIdentity",
            display_name="FantasyID Score Identity",
            category=CATEGORY,
            description="Measures how much the person in a video resembles the photo, how steady the face is, and how "
            "much it moves. The node needs an ArcFace model.",
            inputs=[
                io.Image.Input("image", tooltip="The frames of the video, from Decode Video."),
                FaceType.Input("face", tooltip="The person, from Crop Face."),
                io.Combo.Input(
                    "detector",
                    options=[AUTO, *NAMED_DETECTORS],
                    optional=True,
                    tooltip="The detector that finds the face in every frame. insightface is usual for this measure.",
                ),
                ShapeType.Input(
                    "shape_before",
                    optional=True,
                    tooltip="The 3D face before the edit. With both 3D faces, the node also says how much of the edit "
                    "the video shows.",
                ),
                ShapeType.Input(
                    "shape_after", optional=True, tooltip="The 3D face after the edit, from Edit Shape or Blend Shapes."
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="reference_similarity",
                    tooltip="The mean cosine similarity of the frames and the photo: about 0 for another person, 0.6 "
                    "for a good likeness.",
                ),
                io.Float.Output(
                    display_name="inter_frame_similarity",
                    tooltip="The mean cosine similarity of consecutive frames: 1 is steady.",
                ),
                io.Float.Output(
                    display_name="face_motion",
                    tooltip="The mean optical flow in the face, in pixels from frame to frame.",
                ),
                io.Image.Output(display_name="plot", tooltip="The three measures, frame by frame."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, detector=None):
        return detector_problem(detector, (AUTO, *NAMED_DETECTORS))

    @classmethod
    @cancellable("cv2")
    def execute(cls, image, face, detector: str = AUTO, shape_before=None, shape_after=None) -> io.NodeOutput:
        from ..fantasyid_core.evaluation import score_identity
        from ..fantasyid_core.face import load_likeness
        from ..fantasyid_core.host.comfy.reshape import edit_shown

        places = folders.models_dirs()
        score = score_identity(image, face, load_likeness(folders=places), detector, places)
        shown = edit_shown(image, shape_before, shape_after, (*places, *folders.topology_folders()))
        say(cls, [score.describe(), *detector_notes(detector), *shown])
        plot = as_image([score.plot()])
        scores = (score.reference_similarity, score.inter_frame_similarity, score.face_motion)
        return io.NodeOutput(*scores, plot, ui=preview(cls, plot))


class SampleBest(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_SampleBest",
            display_name="FantasyID Sample Best",
            category=CATEGORY,
            description="Samples several seeds for a part of the steps, scores previews of them, and finishes the one "
            "that resembles the person most and moves well. The node needs an ArcFace model.",
            inputs=[
                io.Model.Input("model", tooltip="From Apply Identity."),
                io.Conditioning.Input("positive", tooltip="From Video Conditioning."),
                io.Conditioning.Input("negative", tooltip="From Video Conditioning."),
                io.Latent.Input("latent", tooltip="The empty video, from Video Conditioning."),
                io.Vae.Input("vae", tooltip="The CogVideoX VAE, which decodes the previews."),
                FaceType.Input("face", tooltip="The person, from Crop Face."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The first seed. The others are the numbers after it; 0 follows the largest one. The "
                    "output seed is the best of them.",
                ),
                io.Int.Input("count", default=4, min=1, max=64, tooltip="The number of seeds that are tried."),
                io.Float.Input(
                    "preview_at",
                    default=0.4,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The part of the steps after which a seed is judged. 4 seeds at 0.4 cost as much as 2.6 "
                    "videos. 0 finishes every seed.",
                ),
                *sampling_inputs(),
                io.Float.Input(
                    "motion_weight",
                    default=0.25,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    tooltip="The weight of motion in the score. Likeness has the weight 1.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The best video, for Decode Video."),
                io.Int.Output(display_name="seed", tooltip="The seed of that video."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @cancellable("cv2")
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        vae,
        face,
        seed: int,
        count: int,
        preview_at: float,
        steps: int,
        cfg: float,
        solver: str,
        motion_weight: float = 0.25,
    ) -> io.NodeOutput:
        from ..fantasyid_core.evaluation.score import scorer
        from ..fantasyid_core.host.comfy.best import best_video, consecutive_seeds

        options = {"preview": preview_at, "weights": (1.0, motion_weight), "steps": steps, "cfg": cfg, "solver": solver}
        score = scorer(face, folders=folders.models_dirs())
        seeds = consecutive_seeds(seed, count)
        best = best_video(model, positive, negative, latent, vae, score, seeds, **options)
        say(cls, [candidate.describe() for candidate in best.candidates])
        return io.NodeOutput(best.latent, best.candidates[0].seed)

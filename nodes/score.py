"""How much the video resembles the person."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import AUTO, NAMED_DETECTORS
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, FaceType
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
            "much it moves. Needs an ArcFace model.",
            inputs=[
                io.Image.Input("image", tooltip="The frames of the video, from Decode Video."),
                FaceType.Input("face", tooltip="The person, from Crop Face."),
                io.Combo.Input(
                    "detector",
                    options=[AUTO, *NAMED_DETECTORS],
                    optional=True,
                    tooltip="What finds the face in every frame. insightface is the usual one for this measure.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="reference_similarity",
                    tooltip="Mean cosine of the frames and the photo: 0 is another person, 0.6 a good likeness.",
                ),
                io.Float.Output(
                    display_name="inter_frame_similarity", tooltip="Mean cosine of consecutive frames: 1 is steady."
                ),
                io.Float.Output(
                    display_name="face_motion", tooltip="Mean motion in the face, in pixels from frame to frame."
                ),
                io.Image.Output(display_name="plot", tooltip="The three, frame by frame."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, detector=None):
        return detector_problem(detector, (AUTO, *NAMED_DETECTORS))

    @classmethod
    @cancellable("cv2")
    def execute(cls, image, face, detector: str = AUTO) -> io.NodeOutput:
        from ..fantasyid_core.evaluation import score_identity
        from ..fantasyid_core.face import load_likeness

        places = folders.models_dirs()
        score = score_identity(image, face, load_likeness(folders=places), detector, places)
        say(cls, [score.describe(), *detector_notes(detector)])
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
            description="Samples several seeds part of the way, looks at them, and finishes the one that resembles the "
            "person most and moves well. Needs an ArcFace model.",
            inputs=[
                io.Model.Input("model", tooltip="From Apply Identity."),
                io.Conditioning.Input("positive", tooltip="From Video Conditioning."),
                io.Conditioning.Input("negative", tooltip="From Video Conditioning."),
                io.Latent.Input("latent", tooltip="The empty video, from Video Conditioning."),
                io.Vae.Input("vae", tooltip="The CogVideoX VAE, to look at the previews."),
                FaceType.Input("face", tooltip="The person, from Crop Face."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The first seed; the others follow it, 0 after the largest. "
                    "The second output is the best one's.",
                ),
                io.Int.Input("count", default=4, min=1, max=64, tooltip="How many seeds are tried."),
                io.Float.Input(
                    "preview_at",
                    default=0.4,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="After which part of the steps a seed is judged. 4 seeds at 0.4 cost 2.6 videos. 0 "
                    "finishes all of them.",
                ),
                *sampling_inputs(),
                io.Float.Input(
                    "motion_weight",
                    default=0.25,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    tooltip="How much motion counts. Likeness counts 1.",
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

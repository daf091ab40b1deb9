"""The settings of a training run: frozen dataclasses whose field names are the keys of the YAML file.

Every value is checked when the config is made, so that a misspelt key is found before the training begins.
`load_config` reads the file and the changes of the command line (`optimizer.lr=1e-4`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..files.settings import above, at_least, one_of, ratio, read_settings, settings_from
from ..options import DPM, SOLVERS

TRAINS = ("adapter", "adapter+lora", "all")
CONDITIONS = ("first frame", "face", "none")
REFERENCES = ("view", "own frame")
PRECISIONS = ("fp32", "bf16")
OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class ModelSettings:
    """Which networks, and which of them learn.

    kind: "release" reads the folder `folder` in the official layout; "tiny" is built by this project's own preset.
    adapter: "new" starts one of `variant` and `sizes` (keys of `AdapterConfig`), "folder" goes on with the folder's.
    trains: "adapter"; "adapter+lora", with LoRA of `lora_rank` on the DiT's attention; "all", the encoders of text
    and face included where they have parameters. sizes of the preset "tiny" go into `preset`; `portraits` is the file
    of `experiments.train_portraits` that a new one begins with; "folder" is, for it, one of `experiments.package`.
    """

    kind: str = "release"
    folder: str | None = None
    topology: str | None = None
    face_encoder: str | None = None
    portraits: str | None = None
    adapter: str = "new"
    variant: str = "paper"
    sizes: dict = field(default_factory=dict)
    preset: dict = field(default_factory=dict)
    trains: str = "adapter"
    lora_rank: int = 64
    lora_alpha: float = 64.0
    gradient_checkpointing: bool = True

    def __post_init__(self):
        one_of("model.kind", self.kind, ("release", "tiny"))
        one_of("model.adapter", self.adapter, ("new", "folder"))
        one_of("model.variant", self.variant, ("release", "paper"))
        one_of("model.trains", self.trains, TRAINS)
        at_least("model.lora_rank", self.lora_rank, 1)
        above("model.lora_alpha", self.lora_alpha, 0)
        if self.adapter == "folder" and self.kind == "tiny" and not self.folder:
            raise ValueError(
                "model.folder is missing: expected a packaged folder, such as fantasyid_core/tinymodel/weights."
            )
        if self.kind == "release" and not self.folder:
            raise ValueError("model.folder is missing: expected the release folder (transformer/, vae/, ... inside).")


@dataclass(frozen=True)
class DataSettings:
    """The source of the clips. kind "heads" renders this project's own people; "index" reads a folder of clips.

    folder: of the index. clips, people: how many clips of how many people are rendered (clips / people each), with
    `twins` half of them a second time, as a person who differs in one shape parameter (see `twin_weight`). frames,
    size and references of each clip are the model's for "index". cache: folder for rendered clips and latents.
    latents: "cached" encodes every clip once (the posterior's mean); "each step" encodes as the official trainer does
    (a sample of the posterior). held_out: clips of the end of an index that are kept for validation.
    """

    kind: str = "index"
    folder: str | None = None
    cache: str = "cache"
    latents: str = "cached"
    clips: int = 16000
    people: int = 16000
    frames: int = 9
    size: int = 64
    references: int = 3
    twins: bool = False
    held_out: int = 8
    workers: int = 2

    def __post_init__(self):
        one_of("data.kind", self.kind, ("heads", "index"))
        one_of("data.latents", self.latents, ("cached", "each step"))
        for name in ("clips", "people", "frames", "size", "references", "held_out", "workers"):
            at_least(f"data.{name}", getattr(self, name), 1)
        if self.twins and (self.kind == "index" or self.clips % 2):
            raise ValueError("data.twins: expected data.kind heads and an even number of data.clips.")
        if self.people > self.clips // (2 if self.twins else 1):
            raise ValueError(f"data.people: expected at most one person per clip, got {self.people} for {self.clips}.")
        if self.kind == "index" and not self.folder:
            raise ValueError("data.folder is missing: expected the folder with index-*.parquet.")


@dataclass(frozen=True)
class IdentitySettings:
    """Which picture is the reference, and the ratios 0..1 with which conditions are left out, drawn clip by clip.

    reference: "view", a random one of the clip's views; "own frame", a frame of the clip itself (the ablation
    without multi-view). null_text: an empty prompt (paper: 0.1). null_identity: no injection at all, for guidance
    by identity. null_face: features of zeros; null_vertices: the average head; 1 leaves that half out for good.
    """

    reference: str = "view"
    null_text: float = 0.1
    null_identity: float = 0.0
    null_face: float = 0.0
    null_vertices: float = 0.0

    def __post_init__(self):
        one_of("identity.reference", self.reference, REFERENCES)
        for name in ("null_text", "null_identity", "null_face", "null_vertices"):
            ratio(f"identity.{name}", getattr(self, name))


@dataclass(frozen=True)
class ConditionSettings:
    """The picture that CogVideoX-I2V starts from: the clip's "first frame", the reference "face" (stretched to the
    video's size, as FantasyID conditions), or "none" (zeros). The picture is noised by exp(N(noise_mean, noise_std))
    and left out with ratio `dropout`, the official image-to-video trainer's -3, 0.5 and 0.05.
    """

    picture: str = "face"
    noise_mean: float = -3.0
    noise_std: float = 0.5
    dropout: float = 0.05

    def __post_init__(self):
        one_of("condition.picture", self.picture, CONDITIONS)
        at_least("condition.noise_std", self.noise_std, 0)
        ratio("condition.dropout", self.dropout)


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW and its learning rate. batch: clips per device and micro-step; a step sees batch x accumulation x devices.

    kind: "adamw", or "muon", which takes the matrices of the transformer's blocks at its own `muon_lr` and leaves AdamW
    the rest. encoder_lr: of all that turns texts, pictures and vertices into tokens, where it learns (none: lr).
    lr falls along a cosine from its full value to `final` times it, `cycles` times, after `warmup` steps.
    clip: largest norm of the gradient (0: none). ema: decay of the averaged weights (0: none).
    """

    kind: str = "adamw"
    lr: float = 3e-6
    muon_lr: float = 0.01
    encoder_lr: float | None = None
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0
    batch: int = 1
    accumulation: int = 1
    warmup: int = 500
    cycles: int = 1
    final: float = 0.0
    ema: float = 0.999

    def __post_init__(self):
        one_of("optimizer.kind", self.kind, OPTIMIZERS)
        for name in ("lr", "muon_lr", "eps"):
            above(f"optimizer.{name}", getattr(self, name), 0)
        if self.encoder_lr is not None:
            above("optimizer.encoder_lr", self.encoder_lr, 0)
        for name in ("weight_decay", "clip", "warmup"):
            at_least(f"optimizer.{name}", getattr(self, name), 0)
        for name in ("batch", "accumulation", "cycles"):
            at_least(f"optimizer.{name}", getattr(self, name), 1)
        for name in ("beta1", "beta2", "final", "ema"):
            ratio(f"optimizer.{name}", getattr(self, name))
        if 1.0 in (self.beta1, self.beta2, self.ema):
            raise ValueError("optimizer: expected beta1, beta2 and ema below 1; with 1 nothing would ever change.")


@dataclass(frozen=True)
class CheckpointSettings:
    """A checkpoint every `every` steps and after the last; kept are the last `keep_last` and those whose step is a
    multiple of `keep_every` (0: none of them)."""

    every: int = 500
    keep_last: int = 3
    keep_every: int = 0

    def __post_init__(self):
        at_least("checkpoints.every", self.every, 1)
        at_least("checkpoints.keep_last", self.keep_last, 1)
        at_least("checkpoints.keep_every", self.keep_every, 0)


@dataclass(frozen=True)
class ValidationSettings:
    """Samples videos of `clips` held-out clips with the averaged weights every `every` steps (0: never); cfg 1: no
    guidance."""

    every: int = 1000
    clips: int = 4
    steps: int = 50
    cfg: float = 6.0
    solver: str = DPM
    fps: float = 8.0

    def __post_init__(self):
        at_least("validation.every", self.every, 0)
        at_least("validation.clips", self.clips, 1)
        at_least("validation.steps", self.steps, 1)
        at_least("validation.cfg", self.cfg, 1)
        one_of("validation.solver", self.solver, SOLVERS)
        above("validation.fps", self.fps, 0)


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. output: its folder. precision: of the computation; what learns is kept in float32.

    early_share: share 0..1 of the clips whose timestep is drawn from the noisiest tenth instead of from all timesteps.
    The content of a video is decided in this tenth. At later timesteps the noisy latents themselves show the content,
    because together they outweigh the noise of each.
    stills: number of first steps that learn from the first latent frame of each clip alone, with a third of the work.
    twin_weight: with `data.twins`, the weight of the error in the difference between a clip and its twin, relative to
    this difference (`training.objective.twin_loss`). Without it, most shapes would be learned last, because they change
    so little of a picture.
    """

    output: str = "training"
    seed: int = 0
    steps: int = 90000
    precision: str = "bf16"
    device: str | None = None
    log_every: int = 10
    early_share: float = 0.0
    stills: int = 0
    twin_weight: float = 1.0
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    condition: ConditionSettings = field(default_factory=ConditionSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)

    def __post_init__(self):
        at_least("seed", self.seed, 0)
        at_least("steps", self.steps, 1)
        at_least("log_every", self.log_every, 1)
        one_of("precision", self.precision, PRECISIONS)
        ratio("early_share", self.early_share)
        at_least("stills", self.stills, 0)
        at_least("twin_weight", self.twin_weight, 0)
        if self.data.twins and self.optimizer.batch % 2:
            raise ValueError(f"optimizer.batch: expected an even one with data.twins, got {self.optimizer.batch}.")
        one_of("device", self.device, (None, "cpu"))


def load_config(path: str | Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """The config of a YAML file, or a shipped one ("tiny", "paper_5b"); `changes`, errors as `read_settings`."""
    return read_settings(TrainingConfig, path, Path(__file__).with_name("configs"), changes)


def config_from_dict(content: Mapping) -> TrainingConfig:
    """The inverse of `config_to_dict`; errors as `load_config`."""
    return settings_from(TrainingConfig, content)


def config_to_dict(config: TrainingConfig) -> dict:
    """Plain dicts, as they would stand in the YAML file."""
    return asdict(config)


def differences(ours: Mapping, theirs: Mapping, place: str = "") -> list[str]:
    """Dotted keys whose values differ, as "optimizer.lr: 0.001 instead of 0.0003" (ours instead of theirs)."""
    found = []
    for key in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            found += differences(mine, other, f"{place}{key}.")
        elif mine != other:
            found.append(f"{place}{key}: {mine!r} instead of {other!r}")
    return found

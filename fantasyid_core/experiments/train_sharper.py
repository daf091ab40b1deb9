"""Trains FantasyID-Tiny on clips for many hours, beginning with the weights of `train_reading`.

    python -m fantasyid_core.experiments.train_sharper START OUT [key=value ...]

START is the folder of `train_reading tokens`. This is the trainer of `training.loop` with other clips (`clip_pairs`)
and more terms in the loss (`sharper_loss`), in bfloat16 on one core. It can be stopped and resumed in the same way:
every state in OUT/checkpoints is complete, and the newest undamaged one is taken. The learning rate falls along one
cosine to zero over `steps`, so the length of a run has to be set before it begins. `key=value` changes
configs/tiny_sharper.yaml."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ..files.checkpoint import open_checkpoint
from ..files.network import load_strictly
from ..training.build import build_models
from ..training.config import TrainingConfig, load_config
from ..training.loop import Run
from ..training.models import TrainedModels
from .clip_pairs import ClipPairs
from .sharper_loss import SharperDenoiser, SharperLoss, SharperTask
from .train_reading import READOUT_FILE

CONFIG = Path(__file__).with_name("configs") / "tiny_sharper.yaml"


class SharperRun(Run):
    """A run whose denoiser also returns the readout of its identity tokens."""

    def __init__(self, config: TrainingConfig, loss: SharperLoss, models: TrainedModels, source: ClipPairs):
        self._loss, self._clips = loss, source
        super().__init__(config, "auto", models, (source, source))

    def make_network(self) -> SharperDenoiser:
        models = self.models
        vae = models.codec.vae if self._loss.decoder else None
        network = SharperDenoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder, vae)
        if not read_as_taught(network, self.config.model.folder):
            network.readout.fit(self._clips.numbers())
        return network

    def make_task(self) -> SharperTask:
        return SharperTask(self.models, self.config, self.device, self._loss, self._clips)


def read_as_taught(network: SharperDenoiser, folder: str | Path) -> bool:
    """Gives the readout what `train_reading tokens` left in `folder`; False without such a file."""
    path = Path(folder) / READOUT_FILE
    if not path.is_file():
        return False
    checkpoint = open_checkpoint(path)
    load_strictly(network.readout, {name: checkpoint.read(name) for name in checkpoint}, str(path))
    return True


def clips_of(config: TrainingConfig, models: TrainedModels) -> ClipPairs:
    """The clips of a run."""
    data = config.data
    return ClipPairs(data.clips // 2, data.cache, models.codec, data.frames, data.references)


def train_sharper(config: TrainingConfig, loss: SharperLoss) -> Path:
    """Runs until all steps are done and returns the adapter's path; errors as `training.loop.train`."""
    torch.manual_seed(config.seed)
    models = build_models(config)
    run = SharperRun(config, loss, models, clips_of(config, models))
    try:
        run.log.write("loss", run.progress.step, **asdict(loss))
        run.announce()
        run.steps()
        return run.finish()
    finally:
        run.log.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_sharper")
    parser.add_argument("start", help="packaged folder that it begins with")
    parser.add_argument("out", help="folder of the run")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="changes to the config")
    parser.add_argument("--pixels-from", type=int, help="step from which pixels count as well")
    parser.add_argument("--decoder", type=float, default=SharperLoss.decoder, help="0: the VAE's decoder is frozen")
    parser.add_argument("--reading-from", type=int, default=0, help="step from which the tokens learn by the readout")
    arguments = parser.parse_intermixed_args(argv)
    try:
        own = [f"model.folder={arguments.start}", f"output={arguments.out}"]
        config = load_config(CONFIG, [*own, *arguments.changes])
        start = arguments.pixels_from
        start = config.steps * 2 // 3 if start is None else start
        loss = SharperLoss(pixels_from=start, reading_from=arguments.reading_from, decoder=arguments.decoder)
        print(train_sharper(config, loss), flush=True)
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

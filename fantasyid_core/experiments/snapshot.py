"""Writes the present state of a run of `train_sharper` as a model folder; the run may continue meanwhile.

    python -m fantasyid_core.experiments.snapshot RUN FOLDER [--grade CACHE [--tokens-of OTHER]]

FOLDER receives the averaged weights of the newest good checkpoint, in bfloat16. `score_model` scores it, and
`python -m fantasyid_core demo --model FOLDER` shows it. --grade also says what is read of its identity tokens, of
held-out people whose portraits lie in CACHE; with --tokens-of, of those that the model folder OTHER makes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..tinymodel.models import TinyModels, save_tiny_models
from ..tinymodel.sampler import ADAPTER_FILE, TRANSFORMER_FOLDER, load_networks
from ..training.build import build_models
from ..training.checkpoints import newest_good
from ..training.config import config_from_dict
from ..training.models import TrainedModels
from ..training.publish import publish
from ..weights.adapter import save_adapter
from .package import LARGEST, copy_transformer
from .portrait_pairs import PortraitPairs
from .readout import TOKEN_GATES, missed
from .sharper_loss import SharperDenoiser
from .train_reading import HELD_OUT, TokenReader, grade
from .train_sharper import clips_of, read_as_taught


def snapshot(run: Path, folder: Path, dtype: torch.dtype = torch.bfloat16) -> tuple[int, int]:
    """Writes `folder`; the step that it is of, and the bytes of all files. FileNotFoundError without a checkpoint."""
    step, models, network = _as_it_is(run)
    save_tiny_models(TinyModels(models.codec.vae, models.text_encoder, models.face_encoder), folder, dtype)
    save_adapter(models.adapter, folder / ADAPTER_FILE, dtype)
    with tempfile.TemporaryDirectory() as aside:
        publish(network, models, Path(aside))
        copy_transformer(Path(aside) / TRANSFORMER_FOLDER, folder / TRANSFORMER_FOLDER, dtype)
    return step, sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def grade_run(run: Path, cache: Path, people: int = HELD_OUT, tokens_of: Path | None = None) -> dict[str, float]:
    """What the run's readout reads of the identity tokens of held-out people, as `readout.GATES` asks for it.

    tokens_of: a model folder that makes the tokens instead of the run, such as a mean of its weights and others.
    """
    _, models, network = _as_it_is(run, reads=True)
    face_encoder, adapter = models.face_encoder, models.adapter
    if tokens_of:
        other = load_networks(tokens_of)
        face_encoder, adapter = other.small.face_encoder, other.adapter
    reader = TokenReader(face_encoder, adapter)
    reader.readout = network.readout
    unseen = PortraitPairs(people, cache, held_out=True)
    unseen.build()
    return grade(reader.eval(), unseen)


def _as_it_is(run: Path, reads: bool = False) -> tuple[int, TrainedModels, SharperDenoiser]:
    """The step of the newest good checkpoint, and the networks with its averaged weights; `reads`: the readout, too."""
    state = newest_good(run / "checkpoints")
    if state is None:
        raise FileNotFoundError(f"There is no good checkpoint in {run / 'checkpoints'}. Give the folder of a run.")
    about = json.loads((state / "state.json").read_text(encoding="utf-8"))
    config = config_from_dict(about["config"])
    models = build_models(config)
    average = load_file(state / "average.safetensors")
    vae = models.codec.vae if any(name.startswith("vae.") for name in average) else None
    network = SharperDenoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder, vae)
    # The mean and the spread of the looks' numbers do not learn, so that they are no part of checkpoints.
    if not read_as_taught(network, config.model.folder) and reads:
        network.readout.fit(clips_of(config, models).numbers())
    missing, unknown = network.load_state_dict(average, strict=False)
    learns = {name for name, value in network.named_parameters() if value.requires_grad}
    if unknown or learns & set(missing):
        raise ValueError(f"{state} holds other networks than its config builds: {[*unknown, *missing][:5]}.")
    return about["step"], models, network


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 1: larger than the project may ship; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.snapshot")
    parser.add_argument("run", type=Path, help="output folder of the run")
    parser.add_argument("folder", type=Path, help="where the networks are written to")
    parser.add_argument("--grade", type=Path, metavar="CACHE", help="grade the identity tokens as well")
    parser.add_argument("--tokens-of", type=Path, metavar="OTHER", help="grade those that another model folder makes")
    arguments = parser.parse_args(argv)
    if arguments.tokens_of and not arguments.grade:
        parser.error("--tokens-of says what is graded: give --grade CACHE as well, or leave it out.")
    try:
        step, size = snapshot(arguments.run, arguments.folder)
        marks = grade_run(arguments.run, arguments.grade, tokens_of=arguments.tokens_of) if arguments.grade else {}
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.folder}: step {step}, {size / 1e6:.1f} MB (at most {LARGEST / 1e6:.0f} may come along)")
    if marks:
        lacking = ", ".join(missed(marks, TOKEN_GATES)) or "none"
        print(
            ", ".join(f"{name} {value:.3f}" for name, value in marks.items()) + f"; gates that do not hold: {lacking}"
        )
    return 0 if size <= LARGEST else 1


if __name__ == "__main__":
    sys.exit(main())

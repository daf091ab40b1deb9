"""Training from a config to a finished run. Nothing here knows how many processes there are; accelerate does.

config -> memory check -> models -> clips -> (resume) -> steps -> checkpoints, videos, log -> adapter file
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import torch

from ..files.writing import write_aside
from .batches import Batch, batches
from .build import build_models
from .checkpoints import find_damage, new_checkpoint, newest_good, prune, remove_leftovers, step_of
from .config import TrainingConfig, config_to_dict
from .denoiser import Denoiser
from .ema import Average
from .memory import check_memory, free_memory, gib, peak_memory, release_need
from .models import TrainedModels
from .optimizer import make_optimizer
from .publish import publish
from .runlog import Clock, RunLog, duration
from .schedule import learning_rate
from .sources import build_sources
from .state import Progress, check_resumable, describe_run, read_state, write_state
from .task import Task
from .validate import Validation

FAILED_BATCH = "failed-batch.json"
_FITTED = 512  # clips whose vertices are looked at
_PATIENCE = timedelta(hours=12)  # other processes wait while one fills the caches


def train(config: TrainingConfig, resume: str = "auto", models: TrainedModels | None = None, sources=None) -> Path:
    """Runs `config` and returns the path of the finished adapter file.

    resume: "auto" goes on with the newest good checkpoint in the output folder, if there is one; "none" starts anew,
    in an empty folder; a path goes on with that checkpoint. models, sources (training, held-out): instead of the
    config's.

    Raises ValueError, FileNotFoundError, RuntimeError or OSError with what was expected, found and what to do. The
    last good checkpoint stays whatever happens.
    """
    run = Run(config, resume, models, sources)
    try:
        run.announce()
        run.steps()
        return run.finish()
    finally:
        run.log.close()


def check(config: TrainingConfig, resume: str = "auto") -> None:
    """Does all that comes before the first step, and raises what `train` would raise there."""
    run = Run(config, resume, None, None)
    run.log.say(f"config, memory, models and {len(run.source)} clips are fine")
    run.log.close()


class Run:
    """The state of one run: the networks, the optimiser, the clips and the position in them."""

    def __init__(self, config: TrainingConfig, resume: str, models: TrainedModels | None, sources):
        self.config, self.folder = config, Path(config.output)
        self.accelerator = _accelerator(config)
        self.device = self.accelerator.device
        self.log = RunLog(self.folder, self.accelerator.is_main_process)
        start = self._find_start(resume)
        if models is None:
            self._check_memory()
        self.models = models or build_models(config)
        adapter = self.models.adapter
        self.about = describe_run(config, adapter.config.variant, adapter.topology, self.accelerator.num_processes)
        if start is not None:
            check_resumable(start, self.about)
        with self.accelerator.local_main_process_first():
            self.source, held_out = sources or build_sources(config, self.models, self.device, self.log.say)
        _check_count(len(self.source), config, self.accelerator.num_processes)
        if config.model.adapter == "new":  # on resuming, too: checkpoints hold what learns
            fit_vertices(adapter, self.source, self.log.say)
        self._prepare()
        self.progress = Progress()
        if start is not None:
            self.progress = read_state(start, self.accelerator, self.denoiser, self.optimizer, self.average)
        self.task = self.make_task()
        self.validation = (
            Validation(held_out, self.task, self.models.alphas, self.models.sizes.latent_shape, config.validation)
            if config.validation.every
            else None
        )
        self.start = start

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def steps(self) -> None:
        """All steps that are left, with checkpoints and validation between them."""
        config, clock, seen = self.config, Clock(), []
        share = self.accelerator.process_index, self.accelerator.num_processes
        feed = batches(self.source, config.seed, config.optimizer.batch, self.progress.micro_batch, share)
        try:
            clock.start()
            while self.progress.step < config.steps:
                seen.append(self._step(feed))
                clock.step()
                done = self.progress.step
                if done % config.log_every == 0 or done == config.steps:
                    self._report(seen, clock)
                    seen = []
                if done % config.checkpoints.every == 0 or done == config.steps:
                    self._save()
                if self.validation and (done % config.validation.every == 0 or done == config.steps):
                    self._validate()
                clock.start()
        finally:
            feed.close()
        self._summarise(clock)

    def finish(self) -> Path:
        """Writes the averaged weights as files that the rest of the project loads; returns the adapter's path."""
        with self.average.applied():
            path = publish(self.denoiser, self.models, self.folder / "final", self.accelerator.is_main_process)
        self.accelerator.wait_for_everyone()
        self.log.write("finished", self.progress.step, adapter=str(path))
        self.log.say(f"finished: {path}")
        return path

    def _step(self, feed) -> dict[str, float]:
        """One step of the optimiser over all its micro-batches: mean loss, learning rate and norm of the gradient."""
        config = self.config.optimizer
        rate = learning_rate(self.progress.step, self.config.steps, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("pace", 1.0)
        losses, norm, stills = [], None, self.progress.step < self.config.stills
        for _ in range(config.accumulation):
            number, batch = next(feed)
            with self.accelerator.accumulate(self.denoiser):
                own = self.task.losses(self.denoiser, batch, number, self.accelerator.process_index, stills)
                loss = self.accelerator.gather(own.detach()).mean().item()
                if not loss - loss == 0:  # NaN or infinite, in any process
                    self._fail(batch, f"The loss is {loss}")
                losses.append(loss)
                self.accelerator.backward(own.mean())
                if self.accelerator.sync_gradients:
                    norm = self._clip(batch)
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.progress.micro_batch = number + 1
        self.average.update()
        self.progress.step += 1
        return {"loss": sum(losses) / len(losses), "lr": rate, "gradient": norm}

    def _clip(self, batch: Batch) -> float | None:
        limit = self.config.optimizer.clip or float("inf")
        norm = self.accelerator.clip_grad_norm_(self.denoiser.parameters(), limit)
        if norm is None:  # DeepSpeed clips by itself
            return None
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not norm - norm == 0:
            self._fail(batch, f"The gradient's norm is {norm}")
        return norm

    def _fail(self, batch: Batch, what: str) -> None:
        """Stops before the optimiser could spoil the weights; the names of the clips go into a file."""
        from accelerate.utils import gather_object

        names = gather_object(list(batch.names))
        path, last = self.folder / FAILED_BATCH, newest_good(self.checkpoints)
        if self.accelerator.is_main_process:
            with write_aside(path) as aside:
                content = {"step": self.progress.step + 1, "problem": what, "clips": names}
                aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self.log.write("failed", self.progress.step + 1, problem=what, clips=names)
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise RuntimeError(
            f"{what} in step {self.progress.step + 1}, with the clips {', '.join(names[:5])}{more} (all in {path}). "
            f"Training stopped before the weights changed; the last good checkpoint is {last or 'none yet'}. Look at "
            "these clips; if they are fine, lower optimizer.lr or use precision: fp32."
        )

    def _save(self) -> None:
        settings = self.config.checkpoints
        with new_checkpoint(self.checkpoints, self.progress.step, self.accelerator.is_main_process) as folder:
            write_state(
                folder, self.accelerator, self.denoiser, self.optimizer, self.average, self.progress, self.about
            )
        if self.accelerator.is_main_process:
            prune(self.checkpoints, settings.keep_last, settings.keep_every)
        self.log.write("checkpoint", self.progress.step)

    def _validate(self) -> None:
        folder = self.folder / "validation" / f"step-{self.progress.step:08d}"
        # Sampling must not change the random state of the training.
        with torch.random.fork_rng(), self.average.applied():
            paths = self.validation.run(self.denoiser, folder, self.accelerator.is_main_process)
        self.log.write("validation", self.progress.step, videos=[str(path) for path in paths])

    def _report(self, seen: list[dict], clock: Clock) -> None:
        config, done, last = self.config, self.progress.step, seen[-1]
        loss = sum(each["loss"] for each in seen) / len(seen)
        peak = peak_memory(self.device)
        rest = (config.steps - done) * clock.per_step
        self.log.write(
            "step", done, loss=loss, lr=last["lr"], gradient=last["gradient"], seconds=clock.per_step, peak_bytes=peak
        )
        self.log.say(
            f"step {done}/{config.steps}  loss {loss:.4f}  lr {last['lr']:.2e}  {clock.per_step:.3f} s/step  "
            f"peak {gib(peak)}  left {duration(rest)}"
        )

    def _summarise(self, clock: Clock) -> None:
        if not clock.seconds:
            return
        peak = peak_memory(self.device)
        clips = self.config.optimizer.batch * self.config.optimizer.accumulation * self.accelerator.num_processes
        self.log.write(
            "summary", self.progress.step, seconds=clock.per_step, clips_per_step=clips, peak_bytes=peak,
            device=str(self.device), processes=self.accelerator.num_processes,
        )  # fmt: skip
        self.log.say(f"speed {clock.per_step:.3f} s per step of {clips} clips, peak memory {gib(peak)} ({self.device})")

    def announce(self) -> None:
        """Says and logs what is about to be trained."""
        learning = sum(each.numel() for each in self.denoiser.parameters() if each.requires_grad)
        self.log.write(
            "start" if self.start is None else "resume", self.progress.step,
            config=config_to_dict(self.config), learning=learning, clips=len(self.source),
        )  # fmt: skip
        begin = "starting" if self.start is None else f"going on from {self.start}"
        self.log.say(f"{begin}: {learning / 1e6:.2f} M parameters learn from {len(self.source)} clips on {self.device}")

    def _find_start(self, resume: str) -> Path | None:
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.checkpoints)
        self.accelerator.wait_for_everyone()
        if resume == "auto":
            return newest_good(self.checkpoints, self.log.say)
        if resume == "none":
            if newest_good(self.checkpoints) is not None:
                raise ValueError(
                    f"{self.folder} holds the checkpoints of an earlier run. Choose another output folder, delete "
                    f"{self.checkpoints}, or go on with --resume auto."
                )
            return None
        path = Path(resume)
        if not path.is_dir():
            raise FileNotFoundError(f"There is no checkpoint folder {path}. Give .../checkpoints/step-..., or auto.")
        step_of(path)  # it must have a checkpoint's name
        problem = find_damage(path)
        if problem is not None:
            raise ValueError(f"The checkpoint {path} is damaged ({problem}). Use another one, or --resume auto.")
        return path

    def _check_memory(self) -> None:
        if self.config.model.kind == "release":
            need = release_need(self.config, _shards(self.accelerator))
            check_memory(need, free_memory(self.device), str(self.device))

    def make_network(self) -> Denoiser:
        """The trained module. Experiments override this method to add parts."""
        models = self.models
        return Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder)

    def make_task(self) -> Task:
        """The loss of a batch. Experiments override this method to add terms."""
        return Task(self.models, self.config, self.device)

    def _prepare(self) -> None:
        settings = self.config.optimizer
        network = self.make_network()
        if self.accelerator.distributed_type.value == "DEEPSPEED":
            self.accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = settings.batch
        network.to(self.device).train()
        optimizer = make_optimizer(network, settings, _shards(self.accelerator) > 1)
        self.denoiser, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.average = Average(self.denoiser, settings.ema)


def fit_vertices(adapter, source, say=print) -> None:
    """Gives a new adapter of the paper variant mean and spread of the vertices of the first people of `source`."""
    if not (adapter.config.is_paper and adapter.config.use_vertices):
        return
    try:
        adapter.fit_vertices(torch.from_numpy(source.vertices(range(min(_FITTED, len(source))))))
    except ValueError as error:  # all of one person, for instance
        say(f"vertices enter relative to the mesh's own template: {error}")


def _accelerator(config: TrainingConfig):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    AcceleratorState._reset_state()  # of an earlier run in this process, which may have had another precision
    return Accelerator(
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        gradient_accumulation_steps=config.optimizer.accumulation,
        cpu=config.device == "cpu",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


def _shards(accelerator) -> int:
    shards = accelerator.distributed_type.value in ("FSDP", "DEEPSPEED")
    return accelerator.num_processes if shards else 1


def _check_count(clips: int, config: TrainingConfig, processes: int) -> None:
    together = config.optimizer.batch * processes
    if clips < together:
        raise ValueError(
            f"{clips} clips are fewer than one micro-batch of {together} (optimizer.batch {config.optimizer.batch} on "
            f"{processes} processes). Prepare more clips or lower optimizer.batch."
        )

"""Plans: how to place the networks on a GPU of a given memory. The fastest plan that fits is chosen.

    networks in turn    each network is on the GPU as a whole while it computes
    8 bits              the same with the transformer's matrices stored in 8 bits (norms, embeddings, identity stay)
    blocks in turn      one block after the other is on the GPU; the next one is loaded while one computes

The estimates count weights exactly, and activations by the number of tensors that are alive at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..options import OFFLOADS, STORAGES
from .memory import check_memory, free_memory
from .sizes import ModelSizes, Network

NONE, MODEL, SEQUENTIAL = OFFLOADS
SAME, EIGHT_BITS = STORAGES
_CARD = torch.bfloat16
RESERVED = 0.6 * 2**30  # what CUDA itself and fragmentation take of a card
_BASE = 1.2 * 2**30  # Python with the libraries, in main memory
_LARGE = 4 * 2**30
"""From so many bytes in float32 on, a CPU computes in bfloat16."""


@dataclass(frozen=True)
class Plan:
    """A way to keep the networks, its estimates in bytes (card, main memory), and what it costs."""

    name: str
    offload: str
    storage: str
    tiling: bool
    card: int
    main: int
    cost: str

    def line(self) -> str:
        """The plan as one line of text for the user."""
        words = [f"--offload {self.offload}", f"--storage {self.storage}", "--tiling" if self.tiling else ""]
        return (
            f"{self.name}: about {self.card / 2**30:.1f} GiB of the card, {self.main / 2**30:.1f} GiB of main memory; "
            f"{self.cost} ({' '.join(word for word in words if word)})"
        )


_WAYS = (
    ("everything on the card", NONE, SAME, False, "the fastest"),
    ("networks in turn", MODEL, SAME, False, "some seconds per video to move them"),
    ("networks in turn, tiles", MODEL, SAME, True, "the same, and faint seams where the tiles meet"),
    ("8 bits", MODEL, EIGHT_BITS, True, "rounded weights: another video of the same kind, and faint seams"),
    ("blocks in turn", SEQUENTIAL, SAME, True, "the exact video, slower by the weights' way to the card in every step"),
)


def plans(sizes: ModelSizes, halves: int = 2) -> list[Plan]:
    """All plans for a card, the fastest first; `halves` of guidance are computed together."""
    made = []
    for name, offload, storage, tiling, cost in _WAYS:
        card = _card_bytes(sizes, offload, storage == EIGHT_BITS, tiling, halves)
        made.append(Plan(name, offload, storage, tiling, card, _main_bytes(sizes, offload, storage), cost))
    return made


def _card_bytes(sizes: ModelSizes, offload: str, eight_bits: bool, tiling: bool, halves: int) -> int:
    transformer = sizes.transformer.bytes(_CARD, eight_bits)
    if offload == SEQUENTIAL:
        transformer = 2 * transformer // max(1, sizes.config.num_layers) + sizes.transformer.kept * _CARD.itemsize
    sampling = transformer + sizes.folded * _CARD.itemsize + sizes.sampling_work(_CARD, halves)
    decoding = sizes.vae.bytes(_CARD) + sizes.decoding_work(_CARD, tiling)
    text = 0 if offload == SEQUENTIAL else sizes.text_encoder.bytes(_CARD)
    face = sizes.face_encoder.bytes(torch.float32) + sizes.identity.bytes(torch.float32)
    folding = sizes.folded * _CARD.itemsize + (sizes.injection.bytes(_CARD) if offload != SEQUENTIAL else 0)
    stages = [sampling, text, face, folding]
    if offload == NONE:  # nothing leaves the card
        decoding += transformer + sizes.folded * _CARD.itemsize
    return int(max(*stages, decoding) + RESERVED)


def _main_bytes(sizes: ModelSizes, offload: str, storage: str) -> int:
    """Private main memory: what lies in the files is mapped and does not count."""
    cast = 0 if sizes.transformer.is_mapped(_CARD) else sizes.transformer.bytes(_CARD)
    resident = cast if storage == SAME else sizes.transformer.bytes(_CARD, True)
    if offload == MODEL or offload == SEQUENTIAL:  # what comes back from the card, or waits for it in pinned memory
        resident = sizes.transformer.bytes(_CARD, storage == EIGHT_BITS)
    text = 0 if sizes.text_encoder.is_mapped(_CARD) else sizes.text_encoder.bytes(_CARD)
    return int(max(resident, text, sizes.face_encoder.bytes(torch.float32)) + _BASE)


def choose_plan(sizes: ModelSizes, card: int, halves: int = 2) -> Plan:
    """The fastest plan for a card of `card` bytes. Raises ValueError when none fits, saying what would."""
    found = plans(sizes, halves)
    fitting = [plan for plan in found if plan.card <= card]
    if not fitting:
        least = min(found, key=lambda plan: plan.card)
        without = (
            "" if halves == 1 else " Guidance 1 (--cfg 1) takes half of the work's memory, and loses the guidance."
        )
        raise ValueError(f"No plan fits into {card / 2**30:.1f} GiB. The smallest is {least.line()}.{without}")
    return fitting[0]


def card_bytes(fit: str) -> int:
    """Bytes that `fit` means: "8GB" and the like, or "auto" for what the card of this machine has free.

    Raises ValueError for other words, and for "auto" without a card.
    """
    if fit == "auto":
        if not torch.cuda.is_available():
            raise ValueError("--fit auto asks the card how much it has, and PyTorch finds none. Say it: --fit 12GB.")
        return torch.cuda.mem_get_info()[0]
    number = fit.upper().removesuffix("GB").strip()
    try:
        size = float(number)
    except ValueError:
        size = -1.0
    if not 0 < size < 10_000:
        raise ValueError(f"Expected a size such as 8GB, 12GB, 24GB, or auto, got {fit!r}.")
    return int(size * 10**9)


def cpu_dtype(sizes: ModelSizes) -> torch.dtype:
    """The default dtype on a CPU: float32 for small models, bfloat16 from a few GB on."""
    return torch.float32 if sizes.transformer.bytes(torch.float32) < _LARGE else torch.bfloat16


def stage_bytes(sizes: ModelSizes, dtype: torch.dtype, on_cpu: bool) -> dict[str, int]:
    """Private main memory of every stage; on a CPU with what the stage works in."""

    def private(network: Network) -> int:
        return 0 if network.is_mapped(dtype) else network.bytes(dtype)

    held = private(sizes.injection) + private(sizes.identity)
    work = (lambda count: count) if on_cpu else (lambda count: 0)
    return {
        "Encoding the identity": held + 2 * sizes.face_encoder.bytes(torch.float32),
        "Encoding the prompt": held + private(sizes.text_encoder),
        "Sampling": private(sizes.transformer) + work(sizes.folded * dtype.itemsize + sizes.sampling_work(dtype)),
        "Decoding": private(sizes.transformer) + sizes.vae.bytes(dtype) + work(sizes.decoding_work(dtype, True)),
    }


def check_stages(sizes: ModelSizes, dtype: torch.dtype, on_cpu: bool, free: int | None = None) -> None:
    """Compares every stage with the free main memory before any network is loaded.

    Raises RuntimeError naming the first stage that does not fit. Weights that lie in their files do not count: the
    system drops and reads them again.
    """
    free = free_memory() if free is None else free
    half = "" if dtype.itemsize <= 2 else "--dtype bf16 needs half of it. "
    for stage, needed in stage_bytes(sizes, dtype, on_cpu).items():
        check_memory(f"{stage} in {str(dtype).removeprefix('torch.')}", needed, f"{half}Or close other programs.", free)


def advice(sizes: ModelSizes, halves: int = 2) -> str:
    """Advice for the user whose GPU has too little memory."""
    lines = "; ".join(plan.line() for plan in plans(sizes, halves)[1:])
    return f"The card has too little memory for this plan. Smaller ones: {lines}. Or let --fit auto choose."

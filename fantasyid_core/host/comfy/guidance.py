"""Identity guidance: pushes the video towards the person, independently of the prompt's guidance.

    D = D_uncond + cfg (D_cond - D_uncond) + (g - 1) (D_cond - D_without)

D_without is the prompt's prediction without the guided identities, a third branch in the batch of the other two
(1.5 times the model's work; twice at cfg 1). To first order this is text guidance of the plain model plus g times
what the identity does, for every cfg; g = 1 is plain sampling, g = 0 takes the identity out.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from .entries import Entry

_PLAIN = "fantasyid_plain"  # transformer_options: the number of the branch without the guided identities


def guided(entries: Sequence[Entry]) -> list[int]:
    """The numbers of the entries with a guidance of their own; ValueError unless they agree on it."""
    found = [index for index, entry in enumerate(entries) if entry.guidance != 1]
    values = sorted({entries[index].guidance for index in found})
    if len(values) > 1:
        raise ValueError(
            f"Expected one identity guidance for all people who have one, got {', '.join(map(str, values))}. Each "
            "would need a branch of its own; give them the same, or 1."
        )
    return found


def check_guider(guider) -> None:
    """Raises ValueError unless the guider mixes two predictions with one guidance scale."""
    import comfy.samplers

    if type(guider).predict_noise is not comfy.samplers.CFGGuider.predict_noise:
        raise ValueError(
            f"Identity guidance needs a guider with one prompt and one cfg (FantasyID Sampler, KSampler, CFGGuider, "
            f"BasicGuider), got {type(guider).__name__}. Set identity guidance to 1."
        )


def predict_with_plain_branch(executor, guider, guidance: float, model, conds, x, timestep, model_options):
    """The host's predictions of `conds` [positive, negative], the positive one pushed so that its CFG gives D."""
    if guider.cfg == 0:
        raise ValueError("Identity guidance needs a cfg above 0. Set identity guidance to 1, or raise the cfg.")
    # Caching nodes tell the branches apart by their uuid, which has to be the same in every step.
    plain = [{**cond, "uuid": uuid.uuid5(cond["uuid"], _PLAIN)} for cond in conds[0]]
    options = {**model_options.get("transformer_options", {}), _PLAIN: len(conds)}
    options = {**model_options, "transformer_options": options}
    *out, without = executor(model, [*conds, plain], x, timestep, options)
    out[0] = out[0] + (guidance - 1) / guider.cfg * (out[0] - without)
    return out


def plain_parts(transformer_options: dict) -> list[bool] | None:
    """For each part of the batch whether it is without the guided identities; None when no part is."""
    plain = transformer_options.get(_PLAIN)
    parts = [part == plain for part in transformer_options.get("cond_or_uncond", ())]
    return parts if plain is not None and any(parts) else None

"""Mixes several FANTASYID_IDENTITY values into one."""

from __future__ import annotations

from collections.abc import Sequence

from .types import Identity


def mix(people: Sequence[Identity | None], weights: Sequence[float]) -> Identity:
    """The weighted mean of the people; those that are None are left out. The picture is the heaviest one's."""
    from ..fantasyid_core.identity.identityfile import mix_identities

    present = [(person, weight) for person, weight in zip(people, weights, strict=True) if person is not None]
    tokens = mix_identities(
        [person.tokens for person, _ in present], [weight for _, weight in present], [p.adapter for p, _ in present]
    )
    first = max(present, key=lambda each: each[1])[0]
    names = [person.shape_name for person, weight in present if weight]
    approximate = " ".join(dict.fromkeys(person.approximate for person, _ in present if person.approximate))
    known = {"transformer": first.transformer, "approximate": approximate}
    return Identity(tokens, first.adapter, first.thumbnail, " + ".join(filter(None, names)), **known)

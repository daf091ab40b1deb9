"""Heads that tests of shapes run on: people of the project's own mesh, and the official samples where they are."""

from __future__ import annotations

import pytest
from facesamples import OWN, Head, head_names, official_head, own_head


@pytest.fixture(scope="module", params=head_names())
def person(request) -> Head:
    """Each of the heads in turn."""
    if request.param in OWN:
        return own_head(request.param)
    return official_head(request.getfixturevalue("licensed"), request.param)


@pytest.fixture(scope="module")
def head(person):
    return person.vertices


@pytest.fixture(scope="module")
def faces(person):
    return person.faces

"""What several tests of the core share."""

from __future__ import annotations

import pytest
from detectorfiles import DETECTOR_FILES, DETECTOR_KEYS, PACKAGES, place_for


@pytest.fixture(scope="session")
def made_detector_files(tmp_path_factory):
    """A function: detector -> models folder with its seeded or planted file, written once."""
    made = {}

    def folder(name, **options):
        which = (name, *sorted(options.items()))
        if which not in made:
            for package in PACKAGES[name]:
                pytest.importorskip(package, reason=f"{package} is not installed: {name} cannot run")
            made[which] = tmp_path_factory.mktemp(name)
            DETECTOR_FILES[name](place_for(made[which], DETECTOR_KEYS[name]), **options)
        return made[which]

    return folder


@pytest.fixture
def files(made_detector_files):
    """`made_detector_files`, with no detector loaded before and after."""
    from fantasyid_core.face.detectors import detect

    detect._load.cache_clear()
    yield made_detector_files
    detect._load.cache_clear()

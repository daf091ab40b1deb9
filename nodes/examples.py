"""Copies pictures and a video of drawn people to the host's input folder, so that the example workflows find them."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths

PEOPLE = Path(__file__).resolve().parent.parent / "people"
PREFIX = "fantasyid_"  # of their names, so that they collide with no picture of the user


def offer_people() -> None:
    """Copies each example that is not there yet into the input folder. What cannot be written is left out."""
    for example in sorted(PEOPLE.glob(f"{PREFIX}*")):
        try:
            _copy(example, Path(folder_paths.get_input_directory()) / example.name)
        except FileExistsError:
            continue
        except OSError as error:
            logging.info("FantasyID: the example %s was not copied: %s", example.name, error)


def _copy(example: Path, target: Path) -> None:
    """FileExistsError where something lies already, which stays as it is."""
    with target.open("xb") as stream:
        try:
            stream.write(example.read_bytes())
        except OSError:  # a full disk, for example: no half file stays
            stream.close()
            target.unlink(missing_ok=True)
            raise

"""Copies pictures of drawn people to the host's input folder, so that the example workflows find their pictures."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths

PEOPLE = Path(__file__).resolve().parent.parent / "people"
PREFIX = "fantasyid_"  # of their names, so that they collide with no picture of the user


def offer_people() -> None:
    """Copies each picture that is not there yet into the input folder. What cannot be written is left out."""
    for picture in sorted(PEOPLE.glob(f"{PREFIX}*.jpg")):
        target = Path(folder_paths.get_input_directory()) / picture.name
        try:
            if not target.exists():
                shutil.copyfile(picture, target)
        except OSError as error:
            logging.info("FantasyID: the example picture %s was not copied: %s", picture.name, error)

"""Support for running work: progress and cancelling (`progress`), and the packages that are needed (`packages`, by
module; `requirements`, by version). Only the standard library is used, so that install.py can load this folder."""

from . import packages, progress, requirements

__all__ = ["packages", "progress", "requirements"]

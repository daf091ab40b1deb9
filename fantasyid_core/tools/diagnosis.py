"""Diagnoses this machine for FantasyID: model files, optional packages, face detectors, PyTorch, ComfyUI.

Model files are checked, not loaded, and nothing is changed; `modelfiles` defines how each file is recognised.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from textwrap import fill

from .. import __version__
from ..modelfiles import (
    MODEL_FILES,
    ModelFile,
    default_folders,
    file_problems,
    find_comfyui,
    find_model_file,
    misplaced_files,
)
from ..running.requirements import STAND_INS, installed_version
from .processor import processor_name

WIDTH = 100
FOUND, MISSING, UNUSABLE = "found", "MISSING", "UNUSABLE"

# Optional packages: module, name for pip, purpose.
OPTIONAL = (
    ("kornia", "kornia", "face detector yunet"),
    ("facexlib", "facexlib", "face detector retinaface"),
    ("insightface", "insightface", "face detector insightface"),
    ("onnxruntime", "onnxruntime", "face detector insightface, and likeness (ArcFace)"),
    ("onnx", "onnx", "face detector insightface"),
    ("cv2", "opencv-python-headless", "aligning faces"),
    ("huggingface_hub", "huggingface_hub", "downloading from Hugging Face"),
)
OPENCV = ("opencv-python-headless", *STAND_INS["opencv-python-headless"])


@dataclass(frozen=True)
class FileReport:
    """One row of the table. elsewhere: files below the models folders that look like it, and archives of it."""

    row: ModelFile
    path: Path | None
    problems: tuple[str, ...] = ()
    elsewhere: tuple[Path, ...] = ()

    @property
    def state(self) -> str:
        return MISSING if self.path is None else UNUSABLE if self.problems else FOUND

    def hints(self) -> Iterator[tuple[str, str]]:
        """(label, text): what is wrong, what does not work therefore, and what to do."""
        if self.state == FOUND:
            return
        place = f"models/{self.row.belongs}"
        yield from (("problem", f"{self.path}: {problem}") for problem in self.problems)
        yield "without", self.row.without
        for path in self.elsewhere:
            if path.suffix.lower() == ".zip":
                yield "found", f"the archive {path}: unpack it, so that the file lies at {place}"
            else:
                yield "found", f"{path.name} at {path}, expected in {place}: move it"
        if not self.elsewhere:
            yield "put it in", place
            yield "get it at", self.row.sources[0]
            yield from (("or at", source) for source in self.row.sources[1:])
            yield "licence", self.row.licence
            if self.command:
                yield "or run", self.command

    @property
    def command(self) -> str | None:
        """The command that downloads the file; None where its licence does not allow this."""
        return f"python -m fantasyid_core download {self.row.key}" if self.row.download else None


@dataclass(frozen=True)
class Diagnosis:
    """Everything `doctor` says. packages: (pip name, version or None, purpose). detectors: name -> what it lacks."""

    machine: dict[str, str]
    folders: tuple[Path, ...]
    files: tuple[FileReport, ...]
    packages: tuple[tuple[str, str | None, str], ...]
    detectors: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether every required model file, or what serves instead, is there and nothing seems wrong with it."""
        return not self._lacking()

    def _lacking(self) -> list[FileReport]:
        found = {report.row.key for report in self.files if report.state == FOUND}
        return [
            report
            for report in self.files
            if report.row.required and report.row.key not in found and report.row.instead not in found
        ]

    def as_json(self) -> dict:
        """The same as plain data, for other programs."""
        return {
            "usable": self.usable,
            "machine": self.machine,
            "folders": [str(folder) for folder in self.folders],
            "files": [_file_json(report) for report in self.files],
            "packages": {name: version for name, version, _ in self.packages},
            "detectors": {name: {"works": not lacks, "needs": list(lacks)} for name, lacks in self.detectors.items()},
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The same for a terminal of 100 columns."""
        lines = [f"{name:<11}{text}" for name, text in self.machine.items()]
        lines.append(f"{'models':<11}{', '.join(map(str, self.folders)) or 'no models folder found (--models DIR)'}")
        for required, title in ((True, "Required model files"), (False, "Optional model files")):
            lines += ["", title]
            for report in (report for report in self.files if report.row.required == required):
                lines += self._file_lines(report)
        lines += ["", "Face detectors, best first"]
        for name, lacks in self.detectors.items():
            lines += _entry("needs" if lacks else "works", name, ", ".join(lacks))
        lines += ["", "Optional packages"]
        for name, version, purpose in self.packages:
            lines += _entry(version or "missing", name, purpose)
        lines += ["", *(_wrapped(f"Note: {note}") for note in self.notes), self._summary()]
        return lines

    def _file_lines(self, report: FileReport) -> list[str]:
        path = _shortest(report.path, self.folders) if report.path else report.row.purpose
        lines = _entry(report.state, report.row.name, path)
        for label, text in report.hints():
            lines += fill(text, WIDTH, initial_indent=f"{'':12}{label:<11}", subsequent_indent=" " * 23, **_KEEP).split(
                "\n"
            )
        return lines

    def _summary(self) -> str:
        required = [report for report in self.files if report.row.required]
        wrong = len(self._lacking())
        if not wrong:
            return "All required model files are there."
        return f"{wrong} of {len(required)} required model files are missing or unusable."


def diagnose(folders: Iterable[str | os.PathLike] = ()) -> Diagnosis:
    """Looks at this machine; `folders` are models folders, without them those of `modelfiles.default_folders`."""
    given = tuple(Path(folder).expanduser() for folder in folders)
    searched = given or tuple(default_folders())
    notes = [f"{folder} does not exist." for folder in searched if not folder.is_dir()]
    builds = sorted(name for name in OPENCV if _version(name))
    if len(builds) > 1:
        notes.append(f"{' and '.join(builds)} are installed side by side and overwrite each other: keep one of them.")
    files = _file_reports(given, searched)
    return Diagnosis(
        machine=_machine(),
        folders=searched,
        files=tuple(files),
        packages=tuple((name, _package_version(module, name), purpose) for module, name, purpose in OPTIONAL),
        detectors=_detectors(files),
        notes=tuple(notes),
    )


def _file_reports(given: tuple[Path, ...], searched: tuple[Path, ...]) -> list[FileReport]:
    reports = []
    for row in MODEL_FILES:
        path = find_model_file(row.key, given)
        reports.append(FileReport(row, path, tuple(file_problems(row, path)) if path else ()))
    elsewhere = misplaced_files([report.row for report in reports if report.state != FOUND], searched)
    return [
        FileReport(
            report.row,
            report.path,
            report.problems,
            tuple(path for path in elsewhere.get(report.row.key, ()) if path != report.path),
        )
        for report in reports
    ]


def _detectors(files: list[FileReport]) -> dict[str, tuple[str, ...]]:
    try:
        names = ("detect", "networkfile")
        detect, networkfile = (import_module(f"..face.detectors.{name}", __package__) for name in names)
    except ImportError as error:  # a Python without the requirements; what else is here can still be said
        return {"all": (f"the requirements: install them with pip ({error})",)}
    states = {report.row.key: report.state for report in files}
    lacks = {}
    for name, module in detect.NETWORKS.items():
        network = import_module(module, detect.__package__)
        needs = [f"pip install {package}" for package in networkfile.missing_packages(network.PACKAGES)]
        if states[network.KEY] != FOUND:
            needs.append(f"{'a usable' if states[network.KEY] == UNUSABLE else 'the'} model file {network.KEY}")
        lacks[name] = tuple(needs)
    return lacks | {detect.SHIPPED: ()}


def _machine() -> dict[str, str]:
    host = find_comfyui()
    return {
        "FantasyID": __version__,
        "Python": f"{platform.python_version()} ({sys.executable})",
        "PyTorch": _torch(),
        "Processor": f"{processor_name()}, {os.cpu_count()} threads",
        "ComfyUI": str(host) if host else "not found (COMFYUI_PATH, ~/comfy/ComfyUI)",
    }


def _torch() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that belongs to it cannot be loaded
        return f"missing or broken ({error}); see https://pytorch.org/get-started"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return f"{torch.__version__}, {card.name}, {card.total_memory / 2**30:.0f} GB"
    return f"{torch.__version__}, no CUDA: a video takes hours on the CPU"


def _package_version(module: str, name: str) -> str | None:
    """The version of the package that brings `module`, or None when there is none; nothing is imported."""
    try:
        present = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # blocked or replaced by hand
        present = False
    if not present:
        return None
    return installed_version(name) or "unknown version"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _file_json(report: FileReport) -> dict:
    row = report.row
    return {
        "key": row.key,
        "name": row.name,
        "required": row.required,
        "state": report.state.lower(),
        "path": str(report.path) if report.path else None,
        "problems": list(report.problems),
        "elsewhere": [str(path) for path in report.elsewhere],
        "without": row.without,
        "belongs": f"models/{row.belongs}",
        "sources": list(row.sources),
        "licence": row.licence,
        "command": report.command,
    }


_KEEP = {"break_long_words": False, "break_on_hyphens": False}  # addresses and paths stay whole


def _entry(state: str, name: str, text: str) -> list[str]:
    head = f"  {state:<10}{name:<32}"
    return (
        fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * 44, **_KEEP).split("\n")
        if text
        else [head.rstrip()]
    )


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, subsequent_indent="  ", **_KEEP)


def _shortest(path: Path, folders: tuple[Path, ...]) -> str:
    inside = [path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder)]
    return min(inside, key=len, default=str(path))

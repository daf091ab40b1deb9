"""What the table of model files tells of each: its name, purpose, licence, sources, places and hashes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialFile:
    """A file as its makers publish it. exact: any other size under this name is wrong."""

    name: str
    size: int | None = None  # bytes
    sha256: str | None = None
    exact: bool = True


@dataclass(frozen=True)
class Download:
    """How `download` gets a row's file.

    addresses: https addresses, tried in order; or one "owner/name" of a repository on Hugging Face.
    file: what comes from there; None for a whole repository. path: where it lies in the repository, or, when
    `file` is a zip file, the name of the wanted file inside of it.
    """

    addresses: tuple[str, ...]
    file: OfficialFile | None = None
    path: str = ""

    @property
    def from_hub(self) -> bool:
        return not self.addresses[0].startswith("http")

    @property
    def page(self) -> str:
        """The address to show, and to look at in a browser."""
        return f"https://huggingface.co/{self.addresses[0]}" if self.from_hub else self.addresses[0]


@dataclass(frozen=True)
class ModelFile:
    """One row of the table. Folders are written with "/" and are relative to ComfyUI's models folder."""

    key: str  # short and permanent: what code and the command line call this row
    name: str
    purpose: str
    licence: str
    sources: tuple[str, ...]  # official addresses, the first one is shown first
    belongs: str  # where to put it; other names are found too, see patterns
    patterns: tuple[str, ...]  # what counts as this file, in lower case; the first match is taken
    in_release: str  # the same thing inside a FantasyID release folder
    without: str  # what does not work as long as it is missing
    required: bool = True
    instead: str = ""  # the row whose file makes this one unnecessary
    excluding: tuple[str, ...] = ()  # folders and files, in lower case, in which it is not looked for
    official: tuple[OfficialFile, ...] = ()
    packed: tuple[str, ...] = ()  # archives in which people get it
    marks: tuple[str, ...] = ()  # names inside of it; one of them must be there
    elsewhere: tuple[str, ...] = ()  # well-known places outside of the models folders, "~" is the home folder
    download: Download | None = None  # None: it has to be fetched by hand, after registration
    must_accept: bool = False  # the licence restricts the use so much that it must be accepted aloud

    def advice(self) -> str:
        """One sentence: where the file belongs, where to get it, and under which licence."""
        return f"put it in models/{self.belongs}; get it from {' or '.join(self.sources)} ({self.licence})"

    def official_file(self, name: str) -> OfficialFile | None:
        """The facts about the official file of this name; None for converted and renamed ones."""
        return next((file for file in self.official if file.name.lower() == name.lower()), None)

"""Whether a file is what its name says, without unpickling it and without reading big files as a whole."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from .listing import entries, files_below
from .row import ModelFile, OfficialFile
from .table import MODEL_FILES

SMALL = 64 * 2**20  # bytes up to which a file is read as a whole
LONGEST_HEADER = 100 * 2**20  # bytes, the limit of the safetensors format
DEEPEST, MOST_ENTRIES = 6, 50_000  # of the folders that are looked through for misplaced files

# What a file of each ending may be, in the words of `content`.
CONTENTS = {
    ".safetensors": ("safetensors",),
    ".pt": ("PyTorch zip", "pickle"),
    ".pth": ("PyTorch zip", "pickle"),
    ".bin": ("PyTorch zip", "pickle"),
    ".tar": ("PyTorch zip", "pickle"),
    ".pkl": ("pickle",),
    ".npy": ("NumPy array",),
    ".npz": ("NumPy zip",),
    ".onnx": ("ONNX",),
}
CUT = "the file is cut off or damaged; fetch it again"
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.")
_MAGIC = (
    (b"\x93NUMPY", "NumPy array"),
    (b"GGUF", "GGUF"),
    (b"\x1f\x8b", "gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"Rar!", "RAR archive"),
    (b"\x89PNG", "PNG picture"),
    (b"\xff\xd8\xff", "JPEG picture"),
    (b"%PDF", "PDF document"),
)
_ARCHIVES = ("zip archive", "gzip archive", "7z archive", "RAR archive", "tar archive")


def file_problems(row: ModelFile, path: Path, whole: bool = False) -> list[str]:
    """What is wrong with the file at `path` as the file of `row`: sentences, empty when nothing is seen.

    Looks at the kind of content, the size, whether it (and every part of a split model) is complete, and at
    names inside; hashes files of up to 64 MB, any file when `whole`. Nothing is unpickled.
    """
    try:
        for part in _parts(path):
            if problem := _wrong_content(part) or _wrong_size(row, part) or _incomplete(part):
                return [problem if part == path else f"{part.name}: {problem}"]
        problem = _missing_parts(path) or _foreign_names(row, path) or _wrong_hash(row, path, whole)
    except OSError as error:
        return [f"it cannot be read ({error.strerror or error})"]
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError):  # a zip file's directory that is damaged
        return [CUT]
    return [problem] if problem else []


def content(path: Path) -> str:
    """The kind of file, by its first bytes: "safetensors", "pickle", "web page", "Git LFS pointer", "unknown" ..."""
    with open(path, "rb") as file:
        head = file.read(512)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "nothing"
    if head.startswith(b"version https://git-lfs"):
        return "Git LFS pointer"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "web page"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK\x03\x04"):
        name = head[30 : 30 + struct.unpack("<H", head[26:28])[0]] if len(head) >= 30 else b""
        return "PyTorch zip" if name.endswith(b"data.pkl") else "NumPy zip" if name.endswith(b".npy") else "zip archive"
    if head[257:262] == b"ustar":
        return "tar archive"
    if _is_safetensors(head):
        return "safetensors"
    if re.match(rb"\x80[\x02-\x05]|[\]}(]q\x00", head):  # protocols 2 to 5, and 1
        return "pickle"
    if re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]", head):  # ir_version, then the next field
        return "ONNX"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        # Protocol 0 pickles, which Python 2 wrote, are text, too.
        return "pickle" if re.match(rb"\(dp\d|\(lp\d|c[\w.]+\n\w+\n|\(i[\w.]+\n", head) else "text"
    return "unknown"


def sha256(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    """The SHA-256 of a file as a hexadecimal number; `progress` gets the bytes read since its last call."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def misplaced_files(rows: Iterable[ModelFile], folders: Iterable[Path]) -> dict[str, list[Path]]:
    """What lies below `folders` and looks like a file of `rows`, or like an archive that holds it: key -> paths.

    Meant for rows whose file is missing or bad. Known by name, or by ending and exact size; the weights by the
    names of the tensors in folders called transformer, and given as that folder. Looks at 6 levels and 50,000
    entries at most, and into big files only at their beginning.
    """
    rows, found = list(rows), {row.key: [] for row in rows}
    for path in _walk(folders):
        for row in rows:
            place = path.parent if row.key == "weights" else path
            if place not in found[row.key] and _looks_like(row, path):
                found[row.key].append(place)
    return {key: paths for key, paths in found.items() if paths}


def _parts(path: Path) -> list[Path]:
    """The file itself, and the others of "model-00001-of-00003.safetensors"."""
    if not _PART.search(path.name):
        return [path]
    return [path, *(part for part in entries(path.parent) if part.match(f"*-of-*{path.suffix}") and part != path)]


def _missing_parts(path: Path) -> str | None:
    match = _PART.search(path.name)
    if not match:
        return None
    count, before, after = int(match[2]), path.name[: match.start(1)], path.name[match.end(1) :]
    names = (f"{before}{number + 1:05}{after}" for number in range(count))
    missing = list(islice((name for name in names if not (path.parent / name).is_file()), 5))
    return f"it is one of {count} parts; missing beside it: {', '.join(missing)}" if missing else None


def _wrong_content(path: Path) -> str | None:
    kind, expected = content(path), CONTENTS.get(path.suffix.lower())
    if expected is None or kind in expected:
        return None
    if kind == "nothing":
        return "it is empty: the download did not happen; fetch it again"
    if kind == "Git LFS pointer":
        return (
            "it is a Git LFS pointer, which only says where the file is: run `git lfs pull` in that repository, or "
            "download the file itself"
        )
    if kind == "web page":
        return "it is a web page saved under the file's name: on that page, use the link called raw or download"
    if kind == "text":
        said = path.read_bytes()[:80].decode("utf-8", "replace").strip().split("\n")[0]
        return f'it is a text that begins with "{said}", probably what the server answered; fetch it again'
    if kind in _ARCHIVES:
        return f"it is a {kind}: unpack it and put the file from inside here"
    return f"expected {' or '.join(expected)} content, got {kind}: it is another file, or damaged"


def _wrong_size(row: ModelFile, path: Path) -> str | None:
    official, size = row.official_file(path.name), path.stat().st_size
    if official is None or not official.exact or official.size in (None, size):
        return None
    other = next((file.name for row in MODEL_FILES for file in row.official if file.size == size), None)
    if other:
        reason = f"that is the size of {other}, so the wrong file has this name"
    elif size < official.size:
        reason = "the download is probably incomplete, so fetch it again"
    else:
        reason = "it is another file under this name"
    return f"expected {official.size} bytes, got {size}: {reason}"


def _incomplete(path: Path) -> str | None:
    kind, size = content(path), path.stat().st_size
    if kind in ("PyTorch zip", "NumPy zip") and not zipfile.is_zipfile(path):  # its directory is at the end
        return CUT
    if kind == "safetensors":
        try:
            header, start = safetensors_header(path)
            needed = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, TypeError, AttributeError, LookupError, struct.error):
            return CUT
        if needed != size:
            return f"expected {needed} bytes by its own header, got {size}: {CUT}"
    return None


def _foreign_names(row: ModelFile, path: Path) -> str | None:
    marks = [mark.encode() for mark in row.marks]
    texts = [_names_inside(part) for part in _parts(path)] if marks else []
    if not marks or None in texts or any(mark in text for text in texts for mark in marks):
        return None
    return f"it holds nothing named {' or '.join(row.marks)}: it is another model than {row.name}"


def _wrong_hash(row: ModelFile, path: Path, whole: bool) -> str | None:
    official = row.official_file(path.name)
    if official is None or not official.exact or official.sha256 is None:
        return None
    if not whole and path.stat().st_size > SMALL:
        return None
    got = sha256(path)
    if got == official.sha256:
        return None
    return (
        f"its SHA-256 is {got}, the official file's is {official.sha256}: it is damaged, or another file under this "
        "name; fetch it again"
    )


def safetensors_header(path: Path) -> tuple[dict, int]:
    """The entries of a safetensors file by tensor name, and where its data start; ValueError if damaged."""
    header, start = _whole_header(path)
    header.pop("__metadata__", None)
    return header, start


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, {} if it has none or is no such file; only its beginning is read."""
    try:
        header, _ = _whole_header(path)
    except (OSError, ValueError, RecursionError, MemoryError, struct.error):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _whole_header(path: Path) -> tuple[dict, int]:
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        if length > LONGEST_HEADER:
            raise ValueError(f"Expected a header of at most {LONGEST_HEADER} bytes, got {length}.")
        return json.loads(file.read(length)), 8 + length


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= struct.unpack("<Q", head[:8])[0] <= LONGEST_HEADER


def _names_inside(path: Path) -> bytes | None:
    """Bytes that hold the names of a file's tensors and entries; None when only reading it all would tell."""
    kind = content(path)
    if kind == "safetensors":
        return "\n".join(safetensors_header(path)[0]).encode()
    if kind in ("PyTorch zip", "NumPy zip"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [archive.open(name) for name in names if name.endswith("data.pkl")]
            return b"\n".join([*(name.encode() for name in names), *(entry.read(SMALL) for entry in pickles)])
    return path.read_bytes() if path.stat().st_size <= SMALL else None


def _walk(folders: Iterable[Path]) -> Iterator[Path]:
    yield from islice((path for folder in folders for path in files_below(folder, deepest=DEEPEST)), MOST_ENTRIES)


def _looks_like(row: ModelFile, path: Path) -> bool:
    name = path.name.lower()
    try:
        if row.key == "weights":
            folder = path.parent.name.lower()
            return folder.startswith("transformer") and name.endswith(".safetensors") and not file_problems(row, path)
        if name in {packed.lower() for packed in row.packed}:
            return True
        if any(file.exact and file.name.lower() == name for file in row.official):
            return not file_problems(row, path)
        return any(_is_renamed(file, path) for file in row.official)
    except OSError:  # a broken link
        return False


def _is_renamed(file: OfficialFile, path: Path) -> bool:
    if path.suffix.lower() != Path(file.name).suffix.lower() or path.stat().st_size != file.size:
        return False
    return file.size > SMALL or sha256(path) == file.sha256

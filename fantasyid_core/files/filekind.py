"""Recognises by its first bytes what a file is instead of a picture, and says what to do with it."""

from __future__ import annotations

from pathlib import Path

from ..running.packages import pip_command

HEAD = 512  # bytes that are looked at

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv")
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
VIDEO_STARTS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"0&\xb2u\x8ef\xcf\x11", b"\0\0\x01\xba", b"\0\0\x01\xb3")

VIDEO = "is a video, not a picture. Export one frame that shows the face clearly (pause it, save the frame as PNG)"
HEIC = (
    f"is a HEIC photo, as phones save them, which cannot be read here. Run: {pip_command(['pillow-heif'])} (or export "
    "the photo as JPEG)"
)
PDF = "is a PDF document, not a picture. Export the page or the photo in it as JPEG or PNG"
SVG = "is a vector drawing (SVG), not a photo. Export it as PNG, or choose a photo"
PAGE = "is a web page, not a picture. Save the picture itself instead of the page around it"
LFS = (
    "is a Git LFS pointer, which only says where the picture is. Run `git lfs pull` in the folder that it comes from, "
    "or download the picture itself"
)
TEXT = "is a text file, not a picture. Choose a JPEG, PNG, WebP, TIFF or BMP file"
EMPTY = "is empty: it has 0 bytes. Copy or download it again"
FOLDER = "is a folder, not a picture. Choose one file in it"


def not_a_picture(path: Path) -> str | None:
    """What the file at `path` is instead of a picture, as the rest of a sentence; None when that is not known."""
    if path.is_dir():
        return FOLDER
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return EMPTY
    return _container(head) or _document(head) or (VIDEO if path.suffix.lower() in VIDEO_SUFFIXES else None)


def _container(head: bytes) -> str | None:
    kind, brand = head[4:8], head[8:12]
    if kind == b"ftyp" and brand in HEIC_BRANDS:
        return HEIC
    if kind == b"ftyp" and brand not in (b"avif", b"avis"):
        return VIDEO
    avi = head[:4] == b"RIFF" and brand == b"AVI "
    return VIDEO if avi or kind in QUICKTIME_ATOMS or head.startswith(VIDEO_STARTS) else None


def _document(head: bytes) -> str | None:
    if head.startswith(b"%PDF"):
        return PDF
    try:
        text = head.decode("utf-8", "strict" if len(head) < HEAD else "ignore").lstrip("\ufeff \t\r\n").lower()
    except UnicodeDecodeError:
        return None
    if text.startswith("version https://git-lfs"):
        return LFS
    if "<svg" in text:
        return SVG
    if text.startswith(("<!doctype html", "<html")):
        return PAGE
    readable = text and all(letter.isprintable() or letter.isspace() for letter in text)
    return TEXT if readable else None

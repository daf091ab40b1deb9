"""Clips of real videos, from the index that the data preparation writes: a folder with index-*.parquet.

Columns (paths are relative to the folder of the index unless they are absolute):

| column | type | meaning |
|---|---|---|
| name | string | of the clip, unique; it appears in logs and errors |
| video | string | path of the video file; best one short file per clip, for it is read from its beginning |
| start | int | number of the clip's first frame in the file |
| frames | int | how many frames the clip has there, `step` apart |
| step | int | every step-th frame is taken; optional, 1 |
| caption | string | the prompt |
| references | list of strings | paths of the multi-view set: square face crops of the person |
| own_crop | string | path of a face crop from the clip itself; optional, for identity.reference "own frame" |
| vertices | string | path of the person's shape: .npy, .ply, .obj or .glb of the adapter's mesh, metres; or null |

Clips shorter than the model's length, and those without vertices, are left out and counted. The last `held_out` clips
are for validation.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from ..running.packages import MissingPackage, lacks
from .batches import Batch
from .config import DataSettings, IdentitySettings
from .latents import LatentRows

COLUMNS = ("name", "video", "start", "frames", "caption", "references", "vertices")
_KEPT_SHAPES = 4096


class IndexSource:
    """Clips of an index as pictures of the model's size (frames, height, width); faces become `face_size` squares.

    Raises FileNotFoundError or ValueError for a folder without an index, missing columns, and no usable clip;
    `batch` raises ValueError naming the clip whose files are missing, damaged or of another mesh.
    """

    def __init__(
        self,
        data: DataSettings,
        identity: IdentitySettings,
        size: tuple[int, int, int],  # frames, height, width
        vertex_count: int,
        held_out: bool = False,
        face_size: int = 512,
    ):
        self._folder, self._size, self._face_size = Path(data.folder), size, face_size
        self._vertex_count = vertex_count
        self._own_frame = identity.reference == "own frame"
        rows = read_index(self._folder)
        long_enough = [row for row in rows if row["frames"] >= size[0]]
        usable = [row for row in long_enough if row["vertices"]]
        self.too_short, self.without_shape = len(rows) - len(long_enough), len(long_enough) - len(usable)
        kept = min(data.held_out, len(usable) // 2)
        self._rows = usable[-kept:] if held_out else usable[: len(usable) - kept]
        if not self._rows:
            raise ValueError(
                f"{self._folder}: of {len(rows)} clips {self.too_short} are shorter than the {size[0]} frames that the "
                f"model needs, and {self.without_shape} have no 3D face; two usable ones are needed at least, one of "
                "them for validation. Prepare longer clips, and shapes with DECA and FLAME or beside the videos."
            )
        if self._own_frame and not all(row.get("own_crop") for row in self._rows):
            raise ValueError(
                f"identity.reference 'own frame' needs the column own_crop, which the index in {self._folder} lacks. "
                "Prepare the data again, or choose 'view'."
            )
        listed = repr([[row.get(name) for name in ("name", "start", "frames", "step")] for row in self._rows])
        self.fingerprint = hashlib.sha256(f"{listed} {size}".encode()).hexdigest()[:16]
        self._shapes: OrderedDict[str, np.ndarray] = OrderedDict()
        self._latents: LatentRows | None = None

    def use_latents(self, latents: LatentRows) -> None:
        """From now on batches have these latents instead of pictures."""
        self._latents = latents

    def __len__(self) -> int:
        return len(self._rows)

    def pictures(self, index: int) -> np.ndarray:
        return self._read(self._rows[index], self._size[0])

    def batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        rows = [self._rows[i] for i in indices]
        views = rng.random(len(rows))
        latents = None if self._latents is None else self._latents.rows(indices)
        pictures = None if latents is not None else np.stack([self.pictures(i) for i in indices])
        first = np.stack([self._read(row, 1)[0] for row in rows]) if pictures is None else pictures[:, 0]
        return Batch(
            names=[row["name"] for row in rows],
            texts=[row["caption"] or "" for row in rows],
            vertices=self.vertices(indices),
            references=np.stack([self._view(row, place) for row, place in zip(rows, views, strict=True)]),
            first=first,
            pictures=pictures,
            latents=latents,
        )

    def vertices(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._vertices(self._rows[i]) for i in indices])

    def _path(self, text: str) -> Path:
        return self._folder / text  # an absolute path stays as it is

    def _read(self, row: dict, count: int) -> np.ndarray:
        from ..videofile import read_video

        step = row.get("step") or 1
        with _naming(row):
            frames = read_video(self._path(row["video"]))[row["start"] :: step][:count]
            if len(frames) < count:
                raise ValueError(f"expected {count} frames from {row['start']} on, {row['video']} has {len(frames)}")
        return np.stack([fill(frame, *self._size[1:]) for frame in frames])

    def _view(self, row: dict, place: float) -> np.ndarray:
        from PIL import Image

        views = [row["own_crop"]] if self._own_frame else row["references"]
        with _naming(row):
            with Image.open(self._path(views[int(place * len(views))])) as picture:
                side = self._face_size
                return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))

    def _vertices(self, row: dict) -> np.ndarray:
        path = row["vertices"]
        if path not in self._shapes:
            from ..shape import load_shape

            with _naming(row):
                self._shapes[path] = load_shape(self._path(path), self._vertex_count).numpy()
            if len(self._shapes) > _KEPT_SHAPES:
                self._shapes.popitem(last=False)
        return self._shapes[path]


def read_index(folder: Path) -> list[dict]:
    """All rows of index-*.parquet in `folder`, in the order of the files' names.

    Raises FileNotFoundError for a missing folder or index, ValueError for a file that is damaged, lacks columns, or
    repeats names, RuntimeError without pyarrow.
    """
    files = sorted(folder.glob("index-*.parquet")) if folder.is_dir() else []
    if not files:
        found = "no index-*.parquet in it" if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"Expected prepared clips in data.folder {folder}, got {found}. Prepare videos, or correct the path."
        )
    rows = [row for path in files for row in _read_shard(path)]
    if not rows:
        raise ValueError(f"The index in {folder} lists no clips. Prepare more videos, or with milder filters.")
    names = [row["name"] for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"The index in {folder} names clips twice: {', '.join(twice[:5])}. Remove the older shards.")
    return rows


def fill(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture np.uint8 [H,W,3] scaled to cover height x width, the overhang cut off evenly."""
    import cv2

    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = max(width, round(frame.shape[1] * scale)), max(height, round(frame.shape[0] * scale))
    scaled = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return scaled[top : top + height, left : left + width]


def _read_shard(path: Path) -> list[dict]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingPackage(lacks("Reading the index", ["pyarrow"])) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are these
        raise ValueError(f"{path} is not a readable parquet file ({error}). Prepare this part again.") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}. Prepare the data with this version.")
    without = [row["name"] for row in rows if not row["references"]]
    if without:
        raise ValueError(f"{path}: no reference pictures for {', '.join(without[:5])}. Prepare this part again.")
    return rows


class _naming:
    """Errors in the body say which clip they belong to."""

    def __init__(self, row: dict):
        self._name = row["name"]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, (OSError, ValueError)):
            raise ValueError(f"Clip {self._name}: {error}. Prepare it again or take it out of the index.") from error

"""Reading checkpoints tensor by tensor: folders, single files, state dicts; never executing pickled code.

A `Checkpoint` lists names, shapes and dtypes without reading a weight, and reads one tensor at a time,
so that what is not wanted (dead weights, the other half of a model) never enters memory.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .keymaps import named_face_modules
from .tensorfile import DTYPE_NAMES
from .writing import is_tar

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Names under which training programs wrap the weights, in the order in which they are tried.
_WRAPPERS = ("model_ema", "state_dict", "module", "model")
# What torch.load raises for damaged or foreign files, found by changing random bytes of good ones.
_UNREADABLE = (RuntimeError, ValueError, EOFError, LookupError, AssertionError, AttributeError, OSError, TypeError)
# Sizes that this project divides and counts by; other models' configs have none of them.
_COUNTS = (
    "num_layers",
    "num_attention_heads",
    "sample_height",
    "sample_width",
    "sample_frames",
    "max_text_seq_length",
    "cross_attn_interval",
)
_MEND = "Download it again."
# A mapped file keeps what was read resident until it is closed: reopen after this many bytes. A pickle takes longer.
_REOPEN_AFTER = 64 * 2**20
_UNPICKLE_AFTER = 400 * 2**20


@dataclass(frozen=True)
class TensorInfo:
    """The description of a tensor that is not read yet."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass
class Checkpoint:
    """Tensors by name from one or several files, with the config and metadata found beside them."""

    name: str
    tensors: dict[str, TensorInfo]
    readers: dict[str, object] = field(repr=False)
    config: dict = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def read(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        """The tensor named `key` as `dtype` (None: its own); ValueError when the file cannot be read."""
        return self.readers[key].read(key, dtype)

    def map(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        """As `read`, but the tensor lies in the file where that can be: no memory is taken, nothing is copied.

        The file must not be written to while the tensor lives (replacing it is no harm, except on Windows). What has
        another dtype than `dtype`, or is in a pickle, is read.
        """
        reader = self.readers[key]
        if isinstance(reader, _SafetensorsReader) and dtype in (None, self.tensors[key].dtype):
            return reader.map(key)
        return self.read(key, dtype)

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)


def open_checkpoint(source) -> Checkpoint:
    """Opens a release folder, a transformer folder, one .safetensors/.bin/.pt file, or a state dict.

    A release folder is searched for `transformer_ema/`, then `transformer/`, as the official code does.
    Raises FileNotFoundError or ValueError saying what was expected, found, and what to do.
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, Mapping):
        return _from_state_dict(source)
    path = Path(os.fspath(source)).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _merge(str(path), [path], read_config(path.parent))
    raise FileNotFoundError(f"{path} does not exist. Expected a model folder or a .safetensors, .bin or .pt file.")


def open_file(path: str | os.PathLike, mend: str = _MEND) -> Checkpoint:
    """One .safetensors or PyTorch file alone, whatever lies beside it; ValueError when it cannot be read.

    mend: what the user shall do about a .safetensors file that is damaged.
    """
    path = Path(path)
    return _merge(str(path), [path], {}, mend)


def transformer_folder(folder: Path) -> Path:
    """The folder that holds the transformer's weights: transformer_ema/, transformer/ or `folder` itself."""
    for name in ("transformer_ema", "transformer"):
        if (folder / name).is_dir():
            return folder / name
    return folder


def read_config(folder: Path) -> dict:
    """config.json of `folder`, {} when there is none; ValueError when it is not JSON."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Download it again.") from error
    if not isinstance(config, dict):
        raise ValueError(
            f"{path}: expected a JSON object with the model's sizes, got {type(config).__name__}. Download it again."
        )
    wrong = {key: config[key] for key in _COUNTS if not _is_count(config.get(key))}
    if wrong:
        raise ValueError(f"{path}: expected whole numbers above zero, got {wrong}. Download it again.")
    return config


def _is_count(value) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


def _open_folder(folder: Path) -> Checkpoint:
    inner = transformer_folder(folder)
    files = _indexed_files(inner) or sorted(inner.glob("*.safetensors")) or _pickles_in(inner)
    if not files:
        raise FileNotFoundError(
            f"No weights in {inner}: expected *.safetensors (or .bin, .pt) there or in {folder}/transformer. "
            "Choose the folder that holds transformer/ with config.json and the weights."
        )
    return _merge(str(inner), files, read_config(inner))


def _pickles_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _PICKLES)


def _indexed_files(folder: Path) -> list[Path]:
    """Files named by a shard index; ValueError when some are missing."""
    for index in sorted(folder.glob("*.index.json")):
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8-sig"))["weight_map"].values()))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{index} is not a readable shard index ({error!r}). Download it again.") from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder}: {len(missing)} of {len(names)} weight files are missing: {', '.join(missing[:5])}. "
                "Download the rest of the model."
            )
        return [folder / name for name in names]
    return []


def _merge(name: str, files: list[Path], config: dict, mend: str = _MEND) -> Checkpoint:
    checkpoint = Checkpoint(name, {}, {}, config, files=tuple(files))
    for path in files:
        is_pickle = path.suffix.lower() not in (".safetensors", ".sft")
        reader = _PickleReader(path) if is_pickle else _SafetensorsReader(path, mend)
        twice = [key for key in reader.tensors if key in checkpoint.tensors]
        if twice:
            raise ValueError(
                f"{path.name} repeats tensors of another file in {path.parent}: {', '.join(twice[:5])}. "
                "Keep one version of the weights in the folder."
            )
        checkpoint.tensors.update(reader.tensors)
        checkpoint.readers.update(dict.fromkeys(reader.tensors, reader))
        checkpoint.metadata.update(reader.metadata)
    return checkpoint


def _from_state_dict(state: Mapping) -> Checkpoint:
    wrong = [key for key, value in state.items() if not isinstance(key, str) or not torch.is_tensor(value)]
    if wrong or not state:
        raise ValueError(
            f"Expected a state dict of tensors, got {'none' if not state else f'other values at {wrong[:5]}'}."
        )
    reader = _StateDictReader(state)
    return Checkpoint("the state dict", reader.tensors, dict.fromkeys(reader.tensors, reader))


class _StateDictReader:
    def __init__(self, state: Mapping):
        self.state = state
        self.tensors = {key: TensorInfo(tuple(value.shape), value.dtype) for key, value in state.items()}

    def read(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        return self.state[key] if dtype is None else self.state[key].to(dtype)


class _SafetensorsReader:
    """One safetensors file."""

    def __init__(self, path: Path, mend: str):
        self.path, self.mend, self._mapped, self._opened, self._bytes_read = path, mend, None, None, 0
        with self._open() as file:
            self.metadata = file.metadata() or {}
            self.tensors = {key: _safetensors_info(file, key, path) for key in file.keys()}

    def read(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        if self._opened is None or self._bytes_read > _REOPEN_AFTER:
            self._opened, self._bytes_read = self._open(), 0
        self._bytes_read += self.tensors[key].bytes
        # A copy: the tensor would otherwise hold on to the map of the file.
        return _copy(self._opened.get_tensor(key), dtype)

    def map(self, key: str) -> Tensor:
        if self._mapped is None:  # one map for all tensors, which keep it as long as one of them lives
            self._mapped = self._open()
        return self._mapped.get_tensor(key)

    def _open(self):
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not a readable safetensors file ({error}). It is truncated or corrupt. {self.mend}"
            ) from error


def _safetensors_info(file, key: str, path: Path) -> TensorInfo:
    part = file.get_slice(key)
    dtype = _SAFETENSORS_DTYPES.get(part.get_dtype())
    if dtype is None:
        raise ValueError(f"{path}: {key} has the unknown dtype {part.get_dtype()}. Expected a float format.")
    return TensorInfo(tuple(part.get_shape()), dtype)


_SAFETENSORS_DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}


class _PickleReader:
    """One .bin/.pt file, read with weights_only (no pickled code runs) and memory-mapped where it can be."""

    def __init__(self, path: Path):
        self.path = path
        self.metadata: dict[str, str] = {}
        self._state: dict | None = None
        self._bytes_read = 0
        self.tensors = {key: TensorInfo(tuple(value.shape), value.dtype) for key, value in self._load().items()}

    def read(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        value = self._load()[key]
        self._bytes_read += value.nbytes
        value = _copy(value, dtype)
        if self._bytes_read > _UNPICKLE_AFTER:
            self._state, self._bytes_read = None, 0
        return value

    def _load(self) -> dict:
        if self._state is None:
            self._state = _tensors_of(load_pickle(self.path), self.path)
        return self._state


def _copy(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    return value.to(dtype or value.dtype, copy=True)


def load_pickle(path: Path, mapped: bool = True):
    """torch.load with weights_only; ValueError for pickled code, truncated and foreign files.

    mapped: what is read are views of the file where its format allows it.
    """
    if is_tar(path):
        raise ValueError(f"{path} is a tar archive, not a file of weights. Unpack it and take the file from inside.")
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\3\4"  # the format before torch 1.6 cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)
    except (pickle.UnpicklingError, struct.error, *_UNREADABLE) as error:
        # torch's own text advises to switch the safety off; only what was refused is worth telling.
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if "TorchScript" in str(error):
            reason = "it is a TorchScript program (such as OpenAI's CLIP files), not a file of weights"
        elif refused:
            reason = f"it wants to run {refused[1]}, which was refused. Files that carry code are not loaded"
        elif isinstance(error, pickle.UnpicklingError):
            reason = "it is not a file of tensors"
        else:
            raise ValueError(f"{path} is truncated or corrupt ({error}). Download it again.") from error
        raise ValueError(
            f"{path} could not be read as plain weights: {reason}. If it should be plain weights, it is corrupt: "
            "download it again."
        ) from error


def _tensors_of(content, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and (inner := [w for w in _WRAPPERS if isinstance(content.get(w), Mapping)]):
        content = content[inner[0]]
    if isinstance(content, Mapping):
        content = named_face_modules(content)
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(key): value for key, value in named if torch.is_tensor(value)}
    if not tensors:
        raise ValueError(f"{path}: expected a state dict of tensors, got {type(content).__name__} without any.")
    return tensors

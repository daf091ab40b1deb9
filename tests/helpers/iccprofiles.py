"""Small colour profiles (ICC.1:2001, version 2), made here, so that nobody's licence is at stake."""

from __future__ import annotations

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
XYZ_OF_SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # to D50


def matrix_profile(primaries: np.ndarray, gamma: float = 2.2, extra: int = 0) -> bytes:
    """RGB by three primaries relative to D50 and one gamma; `extra` bytes of text make the profile long."""
    colours = {tag: b"XYZ " + bytes(4) + _fixed(primaries[:, i]) for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma))
    return _profile(b"mntrRGB XYZ ", {**colours, **curves, b"cprt": b"text" + bytes(4) + b"none" + bytes(1 + extra)})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntrGRAYXYZ ", {b"kTRC": _gamma(gamma)})


def ink_profile(lab_of_inks: np.ndarray) -> bytes:
    """CMYK: what paper with and without each ink looks like, Lab [2,2,2,2,3], linear between."""
    table = (np.asarray(lab_of_inks) * (255 / 100, 1, 1) + (0, 128, 128)).round().astype(np.uint8)
    straight = bytes(range(256))
    unit = _fixed((1, 0, 0, 0, 1, 0, 0, 0, 1))
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit  # 4 inks to 3 numbers, 2 places along each
    return _profile(b"prtrCMYKLab ", {b"A2B0": head + straight * 4 + table.tobytes() + straight * 3})


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """CIE Lab (D50) [...,3] as sRGB 0..255, by the definitions of both."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    return srgb_of_linear(xyz @ np.linalg.inv(XYZ_OF_SRGB).T)


def srgb_of_linear(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + (1).to_bytes(4, "big") + int(value * 256).to_bytes(2, "big")


def _fixed(values) -> bytes:
    return b"".join(int(round(value * 65536)).to_bytes(4, "big", signed=True) for value in values)


def _profile(kind: bytes, tags: dict[bytes, bytes], name: bytes = b"wide") -> bytes:
    text = b"desc" + bytes(4) + (len(name) + 1).to_bytes(4, "big") + name + bytes(1) + bytes(78)
    tags = {b"desc": text, b"wtpt": b"XYZ " + bytes(4) + _fixed(D50), b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    table, data = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + (start + len(data)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        data += content + bytes(-len(content) % 4)
    head = (start + len(data)).to_bytes(4, "big") + b"lcms" + bytes([2, 0x10, 0, 0]) + kind + bytes(12) + b"acsp"
    head += bytes(4 * 7) + _fixed(D50)
    return head + bytes(128 - len(head)) + table + data

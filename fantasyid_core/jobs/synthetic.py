"""Videos say that they are synthetic: IPTC's digital source type, and Content Credentials where a user signs.

IPTC's term stands in an XMP packet, which an .mp4 holds in a box of type `uuid` (XMP specification, part 3). Content
Credentials are signed by the library c2pa-python with the user's own certificate.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from ..running.packages import MissingPackage, lacks

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PART = 2**22  # bytes that are looked at together
_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
ALGORITHMS = {"rsa": "ps256", "secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512", "ed25519": "ed25519"}


def mark_synthetic(path: Path) -> None:
    """Appends IPTC's digital source type `trainedAlgorithmicMedia` to an .mp4; players pass over it."""
    content = _BOX + _PACKET.encode()
    with path.open("ab") as stream:
        stream.write((8 + len(content)).to_bytes(4, "big") + b"uuid" + content)


def is_marked(path: Path) -> bool:
    """Whether the file holds IPTC's term for media made by a trained model."""
    wanted, before = SOURCE_TYPE.encode(), b""
    with Path(path).open("rb") as stream:
        while part := stream.read(_PART):
            if wanted in before + part:
                return True
            before = part[-len(wanted) :]
    return False


@dataclass(frozen=True)
class Signature:
    """The user's certificate chain and private key, both PEM files; the leaf certificate comes first.

    Raises FileNotFoundError for a missing file, RuntimeError without c2pa-python, ValueError for other content.
    """

    certificate: Path
    key: Path

    def __post_init__(self):
        for path in (self.certificate, self.key):
            if path is None or not Path(path).is_file():
                raise FileNotFoundError(f"There is no file {path}: expected a certificate chain and its key, both PEM.")
        _c2pa()
        self.algorithm()

    def algorithm(self) -> str:
        """The name of the key's signature algorithm in C2PA."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(Path(self.key).read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.key} is no private key as PEM without a password ({error}).") from error
        if isinstance(key, ec.EllipticCurvePrivateKey):
            kind = key.curve.name
        else:
            kinds = {"rsa": rsa.RSAPrivateKey, "ed25519": ed25519.Ed25519PrivateKey}
            kind = next((name for name, kind in kinds.items() if isinstance(key, kind)), type(key).__name__)
        if kind not in ALGORITHMS:
            raise ValueError(
                f"{self.key}: expected a key of RSA, Ed25519 or the curves P-256, P-384, P-521, got {kind}."
            )
        return ALGORITHMS[kind]

    def sign(self, path: Path, title: str) -> None:
        """Signs the file in place as made by a trained model. Raises ValueError when the library refuses."""
        c2pa = _c2pa()
        created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
        manifest = {
            "claim_generator_info": [{"name": "FantasyID"}],
            "title": title,
            "format": "video/mp4",
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}}],
        }
        signed = path.with_name(path.stem + "-signed" + path.suffix)
        try:
            info = c2pa.C2paSignerInfo(
                self.algorithm(), Path(self.certificate).read_bytes(), Path(self.key).read_bytes(), None
            )
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
                builder.sign_file(str(path), str(signed), signer)
            signed.replace(path)
        except c2pa.C2paError as error:
            raise ValueError(
                f"{self.certificate} cannot sign Content Credentials ({error}). Expected a chain whose first "
                "certificate belongs to the key and is made for signing documents, e-mail or time stamps."
            ) from error
        finally:
            signed.unlink(missing_ok=True)


def finish(path: Path, title: str, signature: Signature | None) -> None:
    """Marks a whole video file, and signs it where the user gives a certificate."""
    mark_synthetic(path)
    if signature is not None:
        signature.sign(path, title)


def _c2pa():
    try:
        import c2pa
    except ImportError as error:
        raise MissingPackage(
            f"{lacks('Signing', ['c2pa'])} (or leave the certificate out: the video says that it is synthetic either "
            "way)."
        ) from error
    return c2pa

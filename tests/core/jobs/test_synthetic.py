"""Signing Content Credentials with a certificate made here; runs where c2pa-python is installed."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest

from fantasyid_core.jobs.synthetic import SOURCE_TYPE, Signature, finish, is_marked
from fantasyid_core.videofile import read_comment, read_video, save_video

c2pa = pytest.importorskip("c2pa", reason="needs the optional package that signs videos: pip install c2pa-python")


@pytest.fixture(scope="module")
def signature(tmp_path_factory):
    """A chain of a root and a leaf for signing e-mail, as C2PA asks for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        for name in ("root", "leaf")
    ]
    now = datetime.datetime.now(datetime.timezone.utc)
    chain = []
    for place in (0, 1):
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        is_root = place == 0
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[place])
            .issuer_name(names[0])
            .public_key(keys[place].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **usage),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[place].public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not is_root:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        chain.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "chain.pem").write_bytes(chain[1] + chain[0])
    plain = serialization.NoEncryption()
    for name, key in (("key.pem", keys[1]), ("other.pem", keys[0])):
        encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / name).write_bytes(encoded)
    return Signature(folder / "chain.pem", folder / "key.pem")


def test_a_signed_video_says_that_a_model_made_it(signature, tmp_path):
    path, frames = tmp_path / "video.mp4", np.full((3, 32, 32, 3), 90, np.uint8)
    save_video(frames, path, comment="made of", finish=lambda file: finish(file, "video.mp4", signature))
    with c2pa.Reader(str(path)) as reader:
        told = json.loads(reader.json())
    active = told["manifests"][told["active_manifest"]]
    actions = next(each for each in active["assertions"] if each["label"].startswith("c2pa.actions"))
    assert actions["data"]["actions"][0]["digitalSourceType"] == SOURCE_TYPE
    problems = [each["code"] for each in told.get("validation_status", [])]
    assert set(problems) <= {"signingCredential.untrusted"}  # a root that nobody knows; nothing was changed
    assert is_marked(path) and read_comment(path) == "made of" and len(read_video(path)) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["video.mp4"]


def test_files_that_cannot_sign_are_refused(signature, tmp_path):
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ValueError, match="is no private key as PEM"):
        Signature(signature.certificate, tmp_path / "key.pem")
    path = tmp_path / "video.mp4"
    wrong = Signature(signature.key, signature.key)
    with pytest.raises(ValueError, match="cannot sign Content Credentials"):
        save_video(np.zeros((2, 16, 16, 3), np.uint8), path, finish=lambda file: finish(file, "v", wrong))
    assert not list(tmp_path.glob("*.mp4"))

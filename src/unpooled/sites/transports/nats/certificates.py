"""Certificates of a federation: an authority of its own, and what it signs for the broker, the coordinator and sites.

Keys are elliptic (P-256). A certificate's common name is a party's name and eight random letters: the broker lets in
exactly the common names that the federation lists, so a certificate that was replaced opens nothing any more, although
the authority signed it.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from unpooled.errors import BadRecord

AUTHORITY_DAYS, LEAF_DAYS = 3650, 397
"""How long certificates are valid, in days: the authority's, and all others."""
EARLY = timedelta(days=2)
"""Certificates start being valid so long before they are made: clocks of sites may be slow."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


def authority(name: str, *, days: int = AUTHORITY_DAYS) -> Pair:
    """A self-signed authority for one federation; it may sign certificates, and nothing below it may."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(f"unpooled {name}", f"unpooled {name}", key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def for_server(signer: Pair, hosts: Sequence[str], *, days: int = LEAF_DAYS) -> Pair:
    """The broker's certificate, valid for these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    return Pair(
        _signed(signer, hosts[0], key.public_key(), days, ExtendedKeyUsageOID.SERVER_AUTH, names), _key_pem(key)
    )


def for_client(signer: Pair, common_name: str, *, days: int = LEAF_DAYS) -> Pair:
    """A certificate for the coordinator or a site, with a key made here."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(_signed(signer, common_name, key.public_key(), days, ExtendedKeyUsageOID.CLIENT_AUTH), _key_pem(key))


def make_request(name: str) -> tuple[bytes, bytes]:
    """A site's own key, which never leaves it, and the request that does; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, hashes.SHA256())
    return _key_pem(key), request.public_bytes(serialization.Encoding.PEM)


def for_request(signer: Pair, request: bytes, common_name: str, *, days: int = LEAF_DAYS) -> bytes:
    """The certificate for the key in a request; only the key is taken from it. Raises `BadRecord` for anything else."""
    try:
        asked = x509.load_pem_x509_csr(request)
    except ValueError as error:
        raise BadRecord(f"This is no certificate request: {error}. `unpooled site request` makes one.") from error
    key = asked.public_key()
    if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadRecord("The request is not signed with its own P-256 key: let the site make it anew.")
    return _signed(signer, common_name, key, days, ExtendedKeyUsageOID.CLIENT_AUTH)


def common_name(name: str) -> str:
    """A common name for a certificate of `name` that no other certificate has."""
    return f"{name}.{secrets.token_hex(4)}"


def expires(certificate: bytes) -> datetime:
    """When a certificate (PEM) stops being valid."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _signed(
    signer: Pair,
    common_name: str,
    key: ec.EllipticCurvePublicKey,
    days: int,
    use: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None = None,
) -> bytes:
    above = x509.load_pem_x509_certificate(signer.certificate)
    private = serialization.load_pem_private_key(signer.key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    issuer = above.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = _builder(common_name, str(issuer), key, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return _pem(builder.sign(private, hashes.SHA256()))


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + timedelta(days=days)) - EARLY)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds)

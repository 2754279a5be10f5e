"""Keys that two parties agree on, and letters sealed with them: X25519, HKDF-SHA256 and ChaCha20-Poly1305."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unpooled.errors import SiteFailed

Buffer = bytes | memoryview
KEY_BYTES = 32
SEAL_BYTES = 16
"""What sealing adds to a letter."""


def new_private_key() -> bytes:
    """A private key of X25519, from the operating system's random numbers."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The public key that belongs to it."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def shared_secret(private: bytes, public: bytes) -> bytes:
    """What both ends of a pair compute (32 bytes), not yet a key; raises `SiteFailed` where `public` is no key."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise SiteFailed("a public key that it was given is no key of X25519.") from error


def derive(secret: bytes, use: bytes) -> bytes:
    """The key (32 bytes) that a secret gives for this `use`."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=use).derive(secret)


def agree(private: bytes, public: bytes, use: str) -> bytes:
    """The key (32 bytes) that both ends of a pair get for this `use`."""
    return derive(shared_secret(private, public), use.encode())


def seal(key: bytes, letter: Buffer, context: str) -> bytes:
    """Encrypt and sign. A key is used for one letter only, so the nonce may be constant."""
    return ChaCha20Poly1305(key).encrypt(bytes(12), letter, context.encode())


def unseal(key: bytes, sealed: Buffer, context: str) -> bytes:
    """The letter; raises `SiteFailed` when it was changed on the way, or sealed with other words."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, context.encode())
    except InvalidTag as error:
        raise SiteFailed("a sealed letter was changed on the way, or is not meant for this place.") from error

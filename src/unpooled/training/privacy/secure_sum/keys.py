"""Keys that two sites agree on, masks drawn from keys, and letters that only another site can read."""

from __future__ import annotations

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unpooled.combine import Array
from unpooled.errors import SiteFailed

KEY_BYTES = 32
SEAL_BYTES = 16
"""What sealing adds to a letter."""


def new_private_key() -> bytes:
    """A private key of X25519, from the operating system's random numbers."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The public key that belongs to it."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, public: bytes, use: str) -> bytes:
    """The key (32 bytes) that both ends of a pair get for this `use`."""
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise SiteFailed("a public key of a secure sum is no key.") from error
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=use.encode()).derive(shared)


def mask(key: bytes, width: int) -> Array:
    """`width` pseudo-random numbers modulo 2^64. A key is used for one mask only."""
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(stream.update(bytes(8 * width)), dtype="<u8").astype(np.uint64)


def seal(key: bytes, letter: bytes, context: str) -> bytes:
    """Encrypt and sign. A key is used for one letter only, so the nonce may be constant."""
    return ChaCha20Poly1305(key).encrypt(bytes(12), letter, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """The letter; raises `SiteFailed` when it was changed on the way."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, context.encode())
    except InvalidTag as error:
        raise SiteFailed("a sealed letter of a secure sum was changed on the way.") from error

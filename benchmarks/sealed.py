"""What a sealed hop costs: milliseconds a site and hop, and bytes, against the same hop in the open.

    python benchmarks/sealed.py [--repeats 5] [--fresh]

Ten sites of one process hand on models after each local step (DaisyChain); one turn is open, the next sealed. Beside
it, sealing and opening one letter of that size, and the cipher by itself (ChaCha20-Poly1305 of `cryptography`), which
nothing that encrypts so can be faster than. Both runs must end with the same bits.
"""

from __future__ import annotations

import secrets
import sys
import time

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from record import Record, load, options, table

from unpooled.sites.sealing import OVERHEAD, strangers
from unpooled.sites.site import Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.protocols import DaisyChain
from unpooled.training.recipe import recipe
from unpooled.training.train import Training

SIZES = {"10 kB": 2_500, "1 MB": 250_000, "10 MB": 2_500_000}
"""Parameters, of 4 bytes."""
SITES, HOPS = 10, 10


def hops(parameters: int, sealed: bool) -> tuple[float, np.ndarray, int]:  # type: ignore[type-arg]
    """Seconds a site and hop, the models at the end, and the bytes of training."""
    torch.manual_seed(0)
    model = torch.nn.Linear(parameters // 10, 10, bias=False)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(SITES, 1, parameters // 10)).astype(np.float32)
    federation = InProcess.of(Site(f"site{i}", samples(X[i], [i % 10])) for i in range(SITES))
    made = recipe(model, lr=0.01, executor="reference", sealed_hops=sealed)
    training = Training(federation, made, DaisyChain(1), steps=HOPS, test=samples(X[0], [0]), evaluate_every=HOPS)
    coordinator = training.coordinator
    began = time.perf_counter()
    for _ in range(HOPS):
        coordinator.local_phase()
        coordinator.exchange_models()
    coordinator.finish()
    seconds = time.perf_counter() - began
    rows = np.concatenate([s.state["seat"][0].models(np.array([s.state["seat"][1]])) for s in federation])
    return seconds / SITES / HOPS, rows, training.traffic_bytes


def letter(size: int) -> float:
    """Seconds to seal and open one letter."""
    sites, data = strangers(["a", "b"]), secrets.token_bytes(size)
    began = time.perf_counter()
    sites["b"].open(sites["a"].seal("b", data, after=1, subject="s"), subject="s")
    return time.perf_counter() - began


def cipher(size: int) -> float:
    """Seconds to encrypt and decrypt that much."""
    made, data = ChaCha20Poly1305(secrets.token_bytes(32)), secrets.token_bytes(size)
    began = time.perf_counter()
    made.decrypt(bytes(12), made.encrypt(bytes(12), data, b""), b"")
    return time.perf_counter() - began


def main() -> int:
    """Exit status 1 when sealing changes the result."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    record = Record(__file__, ("model",), seed=0, fresh=chosen.fresh, folder=chosen.out)
    torch.set_num_threads(1)
    print(f"load {load()}; {chosen.repeats} turns each")
    for name, parameters in SIZES.items():
        if record.of(model=name):
            continue
        turns = []
        for _ in range(chosen.repeats):
            (open_, plain, bytes_open), (shut, sealed, bytes_shut) = (hops(parameters, seal) for seal in (False, True))
            turns.append([open_, shut, letter(4 * parameters), cipher(4 * parameters)])
        each = np.array(turns)
        medians = dict(zip(("open", "sealed", "letter", "cipher"), 1000 * np.median(each, axis=0), strict=True))
        found = {
            **medians,
            "more": 1000 * float(np.median(each[:, 1] - each[:, 0])),
            "bytes": (bytes_shut - bytes_open) / SITES / HOPS,
            "overhead": OVERHEAD,
            "equal": bool(np.array_equal(plain, sealed)),
        }
        record.add([{"model": name, **found}])
        print(f"{name}: {found['more']:.2f} ms more a site and hop", flush=True)
    columns = {
        "model": "{model}",
        "open hop, ms a site": "{open:.2f}",
        "sealed": "{sealed:.2f}",
        "more": "{more:.2f}",
        "one letter sealed and opened": "{letter:.2f}",
        "the cipher alone": "{cipher:.2f}",
        "bytes more a site and hop": "{bytes:.0f}",
    }
    text = table(columns, record.rows)
    print(f"\n{text}\n")
    record.write(text)
    wrong = [row["model"] for row in record.rows if not row["equal"]]
    if wrong:
        print(f"FAILED: sealing changed the models of {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Files larger than the memory: one tensor at a time, within a limit that the operating system enforces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unpooled.connectivity import distances, open_checkpoint
from unpooled.connectivity.lazy import TYPES, LazyWeights
from unpooled.errors import BadData

LAYERS, SIDE, ROOM = 80, 1024, 200_000_000
"""Tensors of 4 MB, 336 MB a file, to be compared in 200 MB."""
COMPARE = """
import resource, sys
from unpooled.connectivity import distances, layers_of, open_checkpoint

with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]),) * 2)
try:
    open(sys.argv[1], "rb").read()
except MemoryError:
    print("too large")
a, b = map(open_checkpoint, sys.argv[1:3])
print(len(distances(a, b, layers_of(list(a)))))
"""


def _zeros(path: Path, layers: int, side: int) -> Path:
    """A file of zeros that takes no room on the disk."""
    size = 4 * side * side
    header = {
        f"{i}.weight": {"dtype": "F32", "shape": [side, side], "data_offsets": [i * size, (i + 1) * size]}
        for i in range(layers)
    }
    told = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        file.truncate(8 + len(told) + layers * size)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are enforced on Linux")
def test_a_checkpoint_larger_than_a_limit_on_memory_is_compared_within_it(tmp_path: Path) -> None:
    files = [_zeros(tmp_path / f"{name}.safetensors", LAYERS, SIDE) for name in "ab"]
    assert files[0].stat().st_size > 1.5 * ROOM
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, *map(str, files), str(ROOM)],
        capture_output=True,
        text=True,
        # One arena: each further one reserves 64 MB of addresses, which the limit counts.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        check=False,
    )
    assert done.stdout.split() == ["too", "large", str(LAYERS + 1)], done.stderr


def test_a_checkpoint_larger_than_the_machine_is_opened_and_one_layer_read(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    layers = machine // (4 * SIDE * SIDE) + 1
    a, b = (open_checkpoint(_zeros(tmp_path / f"{name}.safetensors", layers, SIDE)) for name in "ab")
    last = f"{layers - 1}.weight"
    assert distances(a, b, {"last": (last,)})["parameters"].tolist() == [SIDE * SIDE] * 2


def test_tensors_are_those_that_the_library_reads(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    weights = {str(dtype): (3 * torch.randn(4, 3, generator=random)).to(dtype) for dtype in TYPES.values()}
    weights |= {"one": torch.tensor(2.5), "none": torch.zeros(0, 3)}
    save_file(weights, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = LazyWeights(tmp_path / "a.safetensors")
    wanted = load_file(tmp_path / "a.safetensors")
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype is tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].reshape(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8))
    found["one"].add_(1)  # what was read is the reader's own
    assert found["one"] == 2.5


def _broken(header: object, numbers: int = 16) -> bytes:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + bytes(numbers)


ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
BROKEN = {
    "empty": b"",
    "no header": (1 << 40).to_bytes(8, "little") + b"{}",
    "no json": _broken(b"{x"),
    "a list": _broken([1]),
    "nested": _broken(b"[" * 100_000),
    "cut": _broken({"w": ENTRY}, 15),
    "wrong size": _broken({"w": {**ENTRY, "shape": [5]}}),
    "before the start": _broken({"w": {**ENTRY, "data_offsets": [-16, 0]}}),
    "negative": _broken({"w": {**ENTRY, "shape": [-2, -2]}}),
    "type": _broken({"w": {**ENTRY, "dtype": "F4"}}),
    "lacking": _broken({"w": {"dtype": "F32"}}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(BROKEN[name])
    with pytest.raises(BadData, match="cannot be read as safetensors") as told:
        open_checkpoint(tmp_path / "a.safetensors")
    assert "\n" not in str(told.value)

"""Peak memory against sites x parameters, and a simulation of a million sites of which few are active.

    python benchmarks/memory.py [--fresh]

Each point is a process of its own: `sites` sites of two samples, an MLP of about `parameters` parameters, three rounds
of one local step by the vectorised executor, one evaluation at the end. What is measured is the highest resident
memory of the process (VmHWM), data and libraries included; the slope of a line through all points is what a parameter
of one site costs, in bytes and in copies of float32.

The second part is federated averaging over lazy sites, of which 100 train at a time: the slope over 10 thousand, 100
thousand and a million sites is what an idle site costs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from record import Record, Row, load, options, table

from unpooled.training.protocols import FedAvg, FedDC, Protocol

PROTOCOLS: Mapping[str, Callable[[], Protocol]] = {
    "FedAvg": lambda: FedAvg(1),
    "FedDC": lambda: FedDC(1, 3),
}
GRID = ((100, 100), (1_000, 1_000), (10_000, 100), (100, 10_000), (10_000, 1_000), (1_000, 10_000), (10_000, 10_000))
INPUTS, CLASSES, SAMPLES, ROUNDS = 16, 4, 2, 3
LAZY_SITES, ACTIVE, LAZY_ROUNDS, LAZY_STEPS = (10_000, 100_000, 1_000_000), 100, 20, 10
MB = 2**20


def peak() -> float:
    """Highest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB  # bytes on macOS, which has no /proc


def hidden(parameters: int) -> int:
    """Units of a hidden layer that bring an MLP near that many parameters."""
    return max(1, round((parameters - CLASSES) / (INPUTS + 1 + CLASSES)))


def one_point(protocol: str, sites: int, parameters: int) -> Row:
    """Measured in a process that does nothing else."""
    import torch
    from torch import nn

    from unpooled.sites.site import Samples, Site
    from unpooled.sites.transports.in_process import InProcess
    from unpooled.training.recipe import recipe
    from unpooled.training.train import Training, run

    torch.set_num_threads(1)
    torch.manual_seed(0)
    units = hidden(parameters)
    module = nn.Sequential(nn.Linear(INPUTS, units), nn.ReLU(), nn.Linear(units, CLASSES))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(sites, SAMPLES, INPUTS)).astype(np.float32)
    y = rng.integers(0, CLASSES, (sites, SAMPLES))
    federation = InProcess([Site(f"s{i}", Samples(X[i], y[i])) for i in range(sites)])
    how = recipe(module, lr=0.1, executor="vectorised")
    before, start = peak(), time.perf_counter()
    made = Training(
        federation, how, PROTOCOLS[protocol](), steps=ROUNDS, test=Samples(X[0], y[0]), evaluate_every=ROUNDS
    )
    run(made)
    count = sum(p.numel() for p in module.parameters())
    return {"parameters_exact": count, "start_MB": before, "peak_MB": peak(), "seconds": time.perf_counter() - start}


def lazy_point(sites: int) -> Row:
    """`ACTIVE` of so many sites train, made when drawn: ten images like digits, labelled by a fixed teacher."""
    import torch
    from torch import nn

    from unpooled.sites.site import Samples
    from unpooled.training.lazy import LazySites
    from unpooled.training.recipe import recipe
    from unpooled.training.train import Training

    torch.set_num_threads(1)
    torch.manual_seed(0)
    teacher = np.random.default_rng(0).normal(size=(64, 10))

    def make(number: int) -> Samples:
        X = np.random.default_rng([1, number]).random((10, 64), dtype=np.float32)
        return Samples(X, ((X - 0.5) @ teacher).argmax(axis=1))

    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    steps = LAZY_ROUNDS * LAZY_STEPS
    before, start = peak(), time.perf_counter()
    made = Training(
        LazySites(sites, make, sizes=10),
        recipe(module, lr=0.1, executor="vectorised"),
        FedAvg(LAZY_STEPS, fraction=ACTIVE / sites),
        steps=steps,
        test=make(sites),
        evaluate_every=steps,
    )
    ready, times = time.perf_counter() - start, []
    while not made.done:
        made.advance()
        times.append(time.perf_counter())
    count = sum(p.numel() for p in module.parameters())
    return {
        "parameters_exact": count,
        "start_MB": before,
        "peak_MB": peak(),
        "seconds": times[-1] - start,
        "ready_s": ready,
        "ms_a_round": (times[-2] - times[0]) / (len(times) - 2) * 1e3,
        "messages": made.traffic_messages,
    }


def in_process_of_its_own(*arguments: object) -> Row:
    """This script with `--point`, in a fresh process."""
    command = [sys.executable, __file__, "--point", *(str(a) for a in arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def slope(rows: list[Row]) -> tuple[float, float, float]:
    """Bytes a site and parameter, MB at nothing, and the largest distance of a point from the line in MB."""
    size = np.array([r["sites"] * r["parameters_exact"] for r in rows], dtype=float)
    high = np.array([r["peak_MB"] for r in rows])
    each, fixed = np.polyfit(size, high, 1)
    return float(each * MB), float(fixed), float(np.abs(each * size + fixed - high).max())


COLUMNS = {
    "protocol": "{protocol}",
    "sites": "{sites:,}",
    "parameters": "{parameters_exact:,}",
    "one copy of all models": "{copy_MB:.0f} MB",
    "peak memory": "{peak_MB:.0f} MB",
    "seconds": "{seconds:.1f}",
}


LAZY_COLUMNS = {
    "sites": "{sites:,}",
    "parameters": "{parameters_exact:,}",
    "one copy of all models": "{all_MB:,.0f} MB",
    "peak memory": "{peak_MB:.0f} MB",
    "ms a round": "{ms_a_round:.0f}",
    "seconds in all": "{seconds:.1f}",
}


def copy_MB(row: Row) -> float:
    """A float32 for each site and parameter."""
    return float(row["sites"] * row["parameters_exact"] * 4 / MB)


def show(record: Record) -> None:
    """Print the tables and write them."""
    rows = record.of(kind="grid")
    copies = [{**r, "copy_MB": copy_MB(r)} for r in rows]
    parts = [table(COLUMNS, copies)]
    for name in PROTOCOLS:
        each, fixed, off = slope([r for r in rows if r["protocol"] == name])
        parts.append(
            f"{name}: {each:.1f} bytes a site and parameter, that is {each / 4:.1f} copies of float32, "
            f"and {fixed:.0f} MB for Python, torch and the rest (points are at most {off:.0f} MB off the line)."
        )
    lazy = record.of(kind="lazy")
    parts.append(
        f"**Lazy sites**: federated averaging, {ACTIVE} sites drawn anew every {LAZY_STEPS} local steps, "
        f"{LAZY_ROUNDS} times\n\n" + table(LAZY_COLUMNS, [{**r, "all_MB": copy_MB(r)} for r in lazy])
    )
    each, fixed = np.polyfit([r["sites"] for r in lazy], [r["peak_MB"] for r in lazy], 1)
    parts.append(f"An idle site costs {each * MB:.0f} bytes; {fixed:.0f} MB are there without any.")
    text = "\n\n".join(parts)
    print(f"\n{text}\n")
    record.write(text)


def main() -> int:
    """Measures what the record lacks."""
    parser = options(__doc__)
    parser.add_argument("--point", nargs=3, metavar=("PROTOCOL", "SITES", "PARAMETERS"), help="one point, as JSON")
    chosen = parser.parse_args()
    if chosen.point:
        protocol, sites, parameters = chosen.point
        found = lazy_point(int(sites)) if protocol == "lazy" else one_point(protocol, int(sites), int(parameters))
        print(json.dumps(found))
        return 0
    record = Record(
        __file__, ("kind", "protocol", "sites", "parameters"), seed=0, fresh=chosen.fresh, folder=chosen.out
    )
    for protocol in PROTOCOLS:
        for sites, parameters in GRID:
            key = {"kind": "grid", "protocol": protocol, "sites": sites, "parameters": parameters}
            if not record.of(**key):
                print(f"{protocol}, {sites} sites x {parameters} parameters, load {load()}", flush=True)
                record.add([{**key, **in_process_of_its_own(protocol, sites, parameters)}])
    for sites in LAZY_SITES:
        if not record.of(kind="lazy", sites=sites):
            print(f"{sites} lazy sites, load {load()}", flush=True)
            record.add([{"kind": "lazy", "sites": sites, **in_process_of_its_own("lazy", sites, 0)}])
    show(record)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""SuperLink and SuperNodes as real processes, with TLS, registered keys, and nginx as docs/flower.md says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from rivals.flower_deployment import Deployment, free_port, listens, wait_for

from tests.cli.calls import write_config
from tests.conftest import ROOT
from tests.flower.test_federation import FEDDC, assert_same, files, simulate
from unpooled.runs.flower import PACKAGE, export
from unpooled.sites.ledger import verify

pytestmark = pytest.mark.slow
SITES = ("clinic-0", "clinic-1")
GUARDED = "clinic-0"


@dataclass(frozen=True)
class Running:
    """The deployment, its folder with config and data, and whether nginx stands before the SuperLink."""

    flower: Deployment
    folder: Path


def nginx(folder: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """The proxy with the configuration of the documentation, on a free port before `port`."""
    (recipe,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/flower.md").read_text(encoding="utf-8"), re.DOTALL)
    outside = free_port()
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{outside} ssl"),
        ("https://127.0.0.1:8000", f"https://127.0.0.1:{port}"),
        ("/etc/flower/", f"{folder}/"),
    ):
        assert there in recipe
        recipe = recipe.replace(there, here)
    temporary = "".join(
        f"{what}_temp_path {folder}/nginx-{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nworker_processes 1;\n"
        f"{'user root;' if os.getuid() == 0 else ''}\nevents {{}}\n"
        f"http {{\naccess_log {folder}/nginx-access.log;\n{temporary}{recipe}}}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], cwd=folder)
    wait_for(lambda: listens(outside), "nginx listening", 20.0)
    return process, outside


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if shutil.which("nginx") is None:
        if os.environ.get("UNPOOLED_REQUIRE_FLOWER") == "1":
            pytest.fail("No nginx here: apt-get install nginx-light.")
        pytest.skip("No nginx here: apt-get install nginx-light.")
    folder = tmp_path_factory.mktemp("flower")
    write_config(folder, protocols=[FEDDC], training__steps=3, training__evaluate_every=3)
    (folder / "sites/clinic-2.csv").unlink()
    proxies: list[subprocess.Popen[bytes]] = []

    def proxy(port: int) -> int:
        process, outside = nginx(folder, port)
        proxies.append(process)
        return outside

    sites = {name: files(folder, name) for name in SITES}
    try:
        with Deployment(folder, sites, proxy=proxy, guarded=[GUARDED], env={"OMP_NUM_THREADS": "1"}) as flower:
            yield Running(flower, folder)
    finally:
        for process in proxies:
            process.terminate()
            process.wait(timeout=20)


def asked(running: Running, site: str) -> list[tuple[str, int]]:
    """Run and number of each question in the site's ledger; other tests ask here too, outside any run."""
    ledger = running.folder / "kept" / site / "ledger.jsonl"
    data = ledger.read_bytes() if ledger.exists() else b""
    entries = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]  # one may just be written
    return [(entry["run"], entry["number"]) for entry in entries if entry["run"]]


@pytest.mark.timeout(1500)
def test_a_config_over_flower_equals_its_simulation_though_its_serverapp_is_killed(running: Running) -> None:
    app = export(running.folder / "config.toml", running.folder / "app", SITES)
    runs = str(running.folder / "runs")
    running.flower.submit(app, runs=runs)
    wait_for(lambda: len(asked(running, SITES[0])) >= 12, "12 questions answered", 600.0)
    running.flower.signal_serverapp(signal.SIGKILL)
    before = len(asked(running, SITES[0]))
    second = running.flower.submit(app, runs=runs)
    assert running.flower.finish(second) == "finished:completed", running.flower.flwr("log", str(second), "--show")
    (run,) = (running.folder / "runs").iterdir()
    assert_same(run, simulate(running.folder))
    for name in SITES:
        verify(running.folder / "kept" / name / "ledger.jsonl")
        numbers = asked(running, name)
        assert len(set(numbers)) == len(numbers)  # none twice: the second run went on
        assert len({run for run, _ in numbers}) == 2  # the questions before a run, and the run
    assert len(asked(running, SITES[0])) > before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/pull-messages",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet//../control/start-run",
        "//v1/control/start-run",
        "/V1/control/start-run",
        "/",
    ],
)
def test_the_proxy_of_the_documentation_lets_nothing_but_the_fleet_through(running: Running, path: str) -> None:
    assert status(running, running.flower.fleet_port, path) == 403
    if path == "/v1/control/start-run":
        assert status(running, running.flower.port, path) != 403  # the SuperLink itself asks nobody who they are


def status(running: Running, port: int, path: str) -> int:
    """What a POST to that path answers; the path goes out as it is written."""
    connection = HTTPSConnection(
        "127.0.0.1", port, context=ssl.create_default_context(cafile=running.folder / "ca.crt"), timeout=20
    )
    try:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


ASK_ALL = """\
import json
from pathlib import Path

from unpooled.sites.transports.flower import Pace, server_app


def ask_all(link_to, run_config):
    link = link_to(run_config["sites"].split(), pace=Pace(ttl=run_config["ttl"]))
    for name in link.names:
        link.send(name, b"anything")
    heard = set()
    while len(heard) < len(link.names):
        arrival = link.receive(60.0)
        if arrival is not None:
            heard.add(arrival[0])
    Path(run_config["runs"]).write_text(json.dumps(sorted(heard)))


app = server_app(ask_all)
"""
ALSO = """\
import os
from pathlib import Path

Path({folder!r}, "ran at " + os.environ.get("FLOWER_SITE", "the coordinator")).touch()
"""


SLOW_ONCE = """\
import os, time
from pathlib import Path

mark = Path({folder!r}, "began at " + os.environ.get("FLOWER_SITE", "the coordinator"))
if "FLOWER_SITE" in os.environ and not mark.exists():
    mark.touch()
    time.sleep(300)
"""


def app_of(running: Running, name: str, client: str) -> tuple[Path, Path]:
    """An app whose coordinator asks all sites once, and code that its client runs before anything else; and a folder
    for what they leave."""
    folder = running.folder / name
    folder.mkdir()
    app = export(running.folder / "config.toml", running.folder / f"{name}-app", SITES)
    path = app / PACKAGE / "client_app.py"
    path.write_text(client.format(folder=str(folder)) + path.read_text(encoding="utf-8"))
    (app / PACKAGE / "server_app.py").write_text(ASK_ALL)
    return app, folder


@pytest.mark.timeout(600)
def test_a_guarded_site_runs_no_code_that_comes_with_a_run(running: Running) -> None:
    app, folder = app_of(running, "other", ALSO)
    run = running.flower.submit(app, runs=str(folder / "answered"))
    assert running.flower.finish(run, 300.0) == "finished:completed", running.flower.flwr("log", str(run), "--show")
    assert json.loads((folder / "answered").read_text()) == sorted(SITES)
    ran = {path.name for path in folder.glob("ran at *")}
    assert "ran at clinic-1" in ran  # where there is no guard
    assert f"ran at {GUARDED}" not in ran


@pytest.mark.timeout(600)
def test_a_supernode_that_lost_its_message_in_a_restart_is_asked_again_at_once(running: Running) -> None:
    app, folder = app_of(running, "restarted", SLOW_ONCE)
    run = running.flower.submit(app, runs=str(folder / "answered"), ttl=3600.0)
    wait_for(lambda: (folder / "began at clinic-1").exists(), "clinic-1 at work", 120.0)
    running.flower.signal_serverapp(signal.SIGSTOP)  # it looks neither before nor while the node is away
    running.flower.kill("clinic-1", signal.SIGTERM)
    running.flower.start_site("clinic-1")
    wait_for(lambda: len(running.flower.online()) == len(SITES), "clinic-1 online again", 90.0, pause=1.0)
    running.flower.signal_serverapp(signal.SIGCONT)
    assert running.flower.finish(run, 150.0) == "finished:completed", running.flower.flwr("log", str(run), "--show")
    assert json.loads((folder / "answered").read_text()) == sorted(SITES)
    assert "started again" in running.flower.flwr("log", str(run), "--show")

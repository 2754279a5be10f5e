"""`unpooled coordinator` and `unpooled site`: what they write, who may read it, and what they refuse in one line."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.calls import Call, call, write_sites
from tests.nats.hall import free_port, until
from unpooled.errors import Unsupported
from unpooled.sites.transports.nats import site_folder
from unpooled.sites.transports.nats.federation import Folder
from unpooled.sites.transports.nats.link import open_link
from unpooled.sites.transports.nats.reach import reach
from unpooled.sites.transports.nats.service import serve
from unpooled.sites.transports.nats.status import STALE, Progress, status

__all__ = ["call"]
UNPOOLED = [sys.executable, "-c", "from unpooled.cli import main; main()"]


@pytest.fixture
def made(tmp_path: Path, call: Call) -> Path:
    """A federation of two sites."""
    folder = tmp_path / "federation"
    port = free_port()
    names = ["--sites", "clinic-0,clinic-1", "--host", "localhost", "--host", "127.0.0.1"]
    done = call("coordinator", "init", folder, *names, "--port", port, "--listen", "127.0.0.1")
    assert done.code == 0, done.err
    assert str(folder / "join" / "clinic-0.join") in done.out
    return folder


def test_what_holds_a_key_is_readable_for_its_owner_only(made: Path, tmp_path: Path, call: Call) -> None:
    joined(made, "clinic-0", tmp_path, call)
    files = [path for folder in (made, tmp_path / "clinic-0") for path in folder.rglob("*") if path.is_file()]
    assert any(b"PRIVATE KEY" in path.read_bytes() for path in files)
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, path


def joined(made: Path, name: str, tmp_path: Path, call: Call) -> Path:
    """A site's folder."""
    if not (tmp_path / "sites").exists():
        write_sites(tmp_path / "sites")
    folder = tmp_path / name
    data = tmp_path / "sites" / f"{name}.csv"
    done = call("site", "join", made / "join" / f"{name}.join", "--data", data, "--out", folder)
    assert done.code == 0, done.err
    return folder


def test_serve_check_status_and_stop(made: Path, tmp_path: Path, call: Call) -> None:
    site = joined(made, "clinic-0", tmp_path, call)
    away = call("site", "check", site, "--seconds", "0.5")
    assert away.code == 2
    assert "Is `unpooled coordinator serve` running there?" in away.err
    assert json.loads(call("coordinator", "status", made, "--format", "json").out)["broker"] is False
    broker = subprocess.Popen([*UNPOOLED, "coordinator", "serve", str(made)], stderr=subprocess.PIPE, text=True)
    try:
        assert reach(site_folder.read(site).access, 90) is None
        checked = call("site", "check", site)
        assert checked.code == 0, checked.err
        assert "12 rows, 3 columns" in checked.out
        assert "lets us in" in checked.out
        running = subprocess.Popen([*UNPOOLED, "site", "run", str(site)], stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: status(Folder(made)).sites[0].state == "here", 120)
            shown = call("coordinator", "status", made)
            assert shown.code == 0, shown.err
            assert "clinic-1" in shown.out
            assert "never seen" in shown.out
            told = json.loads(call("coordinator", "status", made, "--format", "json").out)
            assert [(s["site"], s["state"]) for s in told["sites"]] == [
                ("clinic-0", "here"),
                ("clinic-1", "never seen"),
            ]
            assert told["broker"] is True
            assert told["warnings"] == []
        finally:
            running.send_signal(signal.SIGTERM)
            _, log = running.communicate(timeout=90)
        assert running.returncode == 0
        lines = [json.loads(line) for line in log.splitlines()]
        assert all({"time", "level", "from", "message"} <= set(line) for line in lines)
        call("coordinator", "remove", made, "--sites", "clinic-0")
        until(lambda: "does not admit" in (reach(site_folder.read(site).access, 1) or ""), 60)
    finally:
        broker.send_signal(signal.SIGTERM)
        _, log = broker.communicate(timeout=90)
    assert broker.returncode == 0, log
    assert all(json.loads(line)["level"] for line in log.splitlines())


def test_serve_that_was_killed_leaves_no_broker_behind(made: Path, tmp_path: Path, call: Call) -> None:
    site = joined(made, "clinic-0", tmp_path, call)
    for _ in range(2):  # the second needs the port of the first
        broker = subprocess.Popen([*UNPOOLED, "coordinator", "serve", str(made)], stderr=subprocess.DEVNULL)
        assert reach(site_folder.read(site).access, 90) is None
        broker.kill()
        broker.wait()
        until(lambda: reach(site_folder.read(site).access, 0.5) is not None, 30)


def test_a_site_with_a_key_of_its_own(made: Path, tmp_path: Path, call: Call) -> None:
    write_sites(tmp_path / "sites")
    own = tmp_path / "own"
    assert call("site", "request", "clinic-2", "--out", own).code == 0
    done = call("coordinator", "admit", made, "--sites", "clinic-2", "--request", own / "request.pem")
    assert done.code == 0, done.err
    file = made / "join" / "clinic-2.join"
    assert "PRIVATE" not in file.read_text()
    elsewhere = call("site", "join", file, "--data", tmp_path / "sites", "--out", tmp_path / "elsewhere")
    assert "name the folder that made the request" in elsewhere.err
    data = tmp_path / "sites" / "clinic-2.csv"
    assert call("site", "join", file, "--data", data, "--out", own).code == 0
    assert site_folder.read(own).access.expires() == Folder(made).expiries()["clinic-2"]
    assert set(Folder(made).read().sites) == {"clinic-0", "clinic-1", "clinic-2"}


def test_joining_again_keeps_policy_and_ledger(made: Path, tmp_path: Path, call: Call) -> None:
    site = joined(made, "clinic-0", tmp_path, call)
    (site / "policy.toml").write_text("min_samples = 50\n")
    (site / "ledger.jsonl").write_text("")
    before = (site / "certificate.pem").read_bytes()
    assert call("coordinator", "admit", made, "--sites", "clinic-0").code == 0
    joined(made, "clinic-0", tmp_path, call)
    assert (site / "certificate.pem").read_bytes() != before
    assert (site / "policy.toml").read_text() == "min_samples = 50\n"
    assert (site / "ledger.jsonl").exists()
    other = call("site", "join", made / "join" / "clinic-1.join", "--data", tmp_path / "sites", "--out", site)
    assert "belongs to site 'clinic-0'" in other.err


REFUSED: dict[str, tuple[Callable[[Path, Path], list[object]], str]] = {
    "init twice": (lambda m, t: ["coordinator", "init", m, "--host", "h", "--sites", "a"], "is a federation already"),
    "no sites": (lambda m, t: ["coordinator", "init", t / "x", "--host", "h", "--sites", ","], "No site is named"),
    "twice": (lambda m, t: ["coordinator", "init", t / "x", "--host", "h", "--sites", "a,a"], "named twice"),
    "name": (lambda m, t: ["coordinator", "init", t / "x", "--host", "h", "--sites", "a.b"], "letters, digits"),
    "coordinator": (
        lambda m, t: ["coordinator", "init", t / "x", "--host", "h", "--sites", "coordinator"],
        "No site can be called",
    ),
    "port": (
        lambda m, t: ["coordinator", "init", t / "x", "--host", "h", "--sites", "a", "--port", 0],
        "between 1 and 65535",
    ),
    "nothing there": (lambda m, t: ["coordinator", "status", t / "x"], "coordinator init"),
    "remove": (lambda m, t: ["coordinator", "remove", m, "--sites", "x"], "no site 'x'"),
    "request": (lambda m, t: ["coordinator", "admit", m, "--sites", "x", "--request", t / "no"], "site request"),
    "no request": (
        lambda m, t: ["coordinator", "admit", m, "--sites", "x", "--request", m / "federation.toml"],
        "no certificate request",
    ),
    "run nothing": (lambda m, t: ["site", "run", t / "x"], "no site's folder"),
    "no data": (
        lambda m, t: ["site", "join", m / "join" / "clinic-0.join", "--data", t / "none"],
        "no file or folder",
    ),
    "no join file": (lambda m, t: ["site", "join", m / "federation.toml", "--data", t], "no join file"),
    "no file": (lambda m, t: ["site", "join", t / "none.join", "--data", t], "There is no file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(name: str, made: Path, tmp_path: Path, call: Call) -> None:
    arguments, words = REFUSED[name]
    shown = call(*arguments(made, tmp_path))
    assert shown.code == 2
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_progress_has_speed_and_time_left(made: Path) -> None:
    now = [1000.0]
    progress = Progress(made, "Three clinics", clock=lambda: now[0])
    for done in range(0, 31, 2):
        progress.tell(done, 100, part="FedDC", waiting=("clinic-1",))
        now[0] += 1.0
    found = status(Folder(made), now=now[0]).run
    assert found["state"] == "running"
    assert found["per_second"] == pytest.approx(2.0)
    assert found["seconds_left"] == pytest.approx(35.0)
    assert status(Folder(made), now=now[0] + STALE).run["state"] == "stopped"
    progress.tell(100, 100, end=True)
    assert status(Folder(made), now=now[0] + 999).run["state"] == "finished"


def test_certificates_that_end_soon_are_told(made: Path, call: Call) -> None:
    Folder(made).admit(["clinic-1"], days=10)
    assert [w for w in status(Folder(made)).warnings if "clinic-1 ends on" in w and "admit --sites clinic-1" in w]
    assert "The certificate of clinic-1" in call("coordinator", "status", made).out
    late = status(Folder(made), now=time.time() + 390 * 86400).warnings
    assert any("broker ends on" in w and "renew" in w for w in late)
    before = Folder(made).expiries()["broker"]
    assert call("coordinator", "renew", made).code == 0
    assert Folder(made).expiries()["broker"] >= before


def test_a_link_of_a_folder_knows_its_sites(made: Path) -> None:
    link = open_link(made)
    assert link.names == ("clinic-0", "clinic-1")
    link.close()


def test_no_server_is_told_with_the_remedy(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unpooled.sites.transports.nats.broker.shutil.which", lambda *a, **k: None)
    with pytest.raises(Unsupported, match="apt-get install nats-server"):
        serve(Folder(made))


def test_none_of_it_is_imported_in_process() -> None:
    modules = "sys, unpooled, unpooled.training.train, unpooled.cli.app"
    code = f"import {modules}; print([name for name in sys.modules if 'nats' in name])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert out.stdout == "[]\n"


def test_a_broker_that_cannot_listen_ends_serve_with_a_word(made: Path) -> None:
    folder = Folder(made)
    folder._write(replace(folder.read(), listen="192.0.2.1"))  # an address that is never ours
    shown = subprocess.run([*UNPOOLED, "coordinator", "serve", str(made)], capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "nats-server ended with" in shown.stderr.splitlines()[-1]

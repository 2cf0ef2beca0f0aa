"""One process at a time: a living holder is named at once, a dead one's lock is taken over, disks without locks."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coarseparts.system import locks
from coarseparts.system.errors import Busy

HOLDER = """
import sys, time
from pathlib import Path
from coarseparts.system import locks
if sys.argv[2] != "0":
    import fcntl
    def refuse(*_): raise OSError(int(sys.argv[2]), "no locks here")
    fcntl.flock = refuse
with locks.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=[0, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=["locks", "ENOLCK", "ENOSYS", "NOTSUPP"])
def disk(request, monkeypatch):
    """A disk with locks, and three that refuse them in their own words."""
    if request.param:

        def refuse(*_):
            raise OSError(request.param, "no locks here")

        monkeypatch.setattr("fcntl.flock", refuse)
    return request.param


@pytest.fixture
def other(tmp_path, disk):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock"), str(disk)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_living_holder_is_named_at_once_with_machine_time_and_remedy(tmp_path, other):
    began = time.monotonic()
    with pytest.raises(Busy, match=rf"process {other.pid} on .* is at work here since \d{{4}}-.*; wait for it, or"):
        with locks.hold(tmp_path / ".lock"):
            pass
    assert time.monotonic() - began < 2 and f"process {other.pid}" in locks.holder(tmp_path / ".lock")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_dead_process_left_is_taken_over(tmp_path, other, how):
    other.send_signal(how)
    other.wait()
    with locks.hold(tmp_path / ".lock"):
        assert (tmp_path / ".lock.json").is_file()
    assert locks.holder(tmp_path / ".lock") == ""
    assert {p.name for p in tmp_path.iterdir()} <= {".lock"}


def test_who_waits_says_so_at_once_and_gives_up_in_time(tmp_path, other):
    said: list[str] = []
    began = time.monotonic()
    with pytest.raises(Busy, match="still, after 1 s"), locks.hold(tmp_path / ".lock", 1.0, said.append):
        pass
    assert 0.9 < time.monotonic() - began < 5 and "waiting for it" in said[0]


def test_who_waits_gets_it_when_it_is_free(tmp_path, other):
    other.kill()
    other.wait()
    with locks.hold(tmp_path / ".lock", 20.0):
        assert f'"process": {os.getpid()}' in (tmp_path / ".lock.json").read_text()


def test_a_disk_without_locks_is_told_and_gone_on_with(tmp_path, disk):
    said: list[str] = []
    with locks.hold(tmp_path / ".lock", tell=said.append):
        pass
    assert said == (
        [f"{tmp_path}: this disk knows no locks; {tmp_path / '.lock.by'} stands in for one"] if disk else []
    )


def test_an_exception_inside_gives_the_lock_back(tmp_path, disk):
    with pytest.raises(KeyError), locks.hold(tmp_path / ".lock"):
        raise KeyError
    assert locks.holder(tmp_path / ".lock") == ""


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), locks.hold(tmp_path / "file" / ".lock"):
        pass


@pytest.mark.parametrize("card", ["", "{", "[]", '{"process": "x"}', '{"process": 1e999}', "\x00"])
def test_a_damaged_card_costs_only_the_name(tmp_path, other, card):
    (tmp_path / ".lock.json").write_text(card)
    with pytest.raises(Busy, match="another process is at work here"), locks.hold(tmp_path / ".lock"):
        pass
    assert os.path.exists(tmp_path / ".lock")


def test_what_the_card_says_does_not_speak_to_the_terminal(tmp_path, other):
    text = '{"process": 1, "machine": "\\u001b[31m", "command": "a\\u202eb", "since": "x\\ny"}'
    Path(tmp_path / ".lock.json").write_text(text)
    with pytest.raises(Busy) as busy, locks.hold(tmp_path / ".lock"):
        pass
    assert str(busy.value).isprintable()

"""Ctrl-C and SIGTERM: once ends with one line and status 130, twice at once, at whatever moment they come."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coarseparts.system.interrupts import GOES_ON

PROGRAM = """
import sys, time
from coarseparts.system.interrupts import INTERRUPTS
from coarseparts.system.files import write_whole
from pathlib import Path
INTERRUPTS.install()
if sys.argv[2] != "early":
    INTERRUPTS.running()
class Stubborn:
    def __del__(self):
        print("ready", flush=True); time.sleep(30)  # where Python drops every exception
def slowly(file):
    file.write(b"half"); file.flush()
    print("ready", flush=True); time.sleep(30)
try:
    if sys.argv[2] == "destructor":
        Stubborn()
        time.sleep(30)
    elif sys.argv[2] == "writing":
        write_whole(Path(sys.argv[1]) / "file", slowly)
    elif sys.argv[2] == "deaf":
        try:
            print("ready", flush=True); time.sleep(30)
        except KeyboardInterrupt:
            print("heard", flush=True); write_whole(Path(sys.argv[1]) / "file", slowly)
    else:
        print("ready", flush=True); time.sleep(30)
except KeyboardInterrupt:
    INTERRUPTS.say()
    sys.exit(130)
"""


def started(folder: Path, where: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["running", "destructor", "writing"])
def test_once_is_one_line_and_status_130_wherever_it_comes(tmp_path, where, number):
    process = started(tmp_path, where)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, f"{GOES_ON}\n")
    assert os.listdir(tmp_path) == []


def test_before_anything_was_done_that_is_what_is_said(tmp_path):
    process = started(tmp_path, "early")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == "stopped before anything was done\n" and process.returncode == 130


def test_twice_ends_at_once_with_nothing_half_written(tmp_path):
    process = started(tmp_path, "deaf")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None and process.stdout.readline() == "heard\n"
    assert process.stdout.readline() == "ready\n" and len(os.listdir(tmp_path)) == 1
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, f"{GOES_ON}\n") and time.monotonic() - began < 5
    assert os.listdir(tmp_path) == []


def test_a_signal_that_whoever_started_us_ignores_stays_ignored(tmp_path):
    code = "from coarseparts.system.interrupts import INTERRUPTS as i; import signal; i.install();"
    code += "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == i._on_signal)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout == "True True\n"

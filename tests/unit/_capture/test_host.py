"""Which process this is: stable while it lives, and different for the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from atrains._capture.host import ProcessIdentity, start_time_of

PROGRAM = """
import sys
from atrains._capture.host import ProcessIdentity
print(ProcessIdentity.current().start_time, "psutil" in sys.modules)
"""


def test_the_identity_is_the_same_each_time_and_names_this_process() -> None:
    identity = ProcessIdentity.current()
    assert identity == ProcessIdentity.current()
    assert identity.pid == os.getpid()
    assert identity.host == os.uname().nodename
    assert identity.start_time is not None


def test_a_later_process_began_later_and_looked_without_psutil_where_it_can() -> None:
    time.sleep(0.05)
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    began, used_psutil = answer.stdout.split()
    ours = ProcessIdentity.current().start_time
    assert ours is not None
    assert float(began) > ours
    assert (used_psutil == "True") is (sys.platform != "linux")


def test_the_start_agrees_with_what_the_system_shows_elsewhere() -> None:
    import psutil

    ours = start_time_of(os.getpid())
    other = start_time_of(os.getppid())
    assert ours is not None
    assert other is not None
    shown = psutil.Process().create_time() - psutil.Process(os.getppid()).create_time()
    assert abs((ours - other) - shown) < 0.05


def test_a_process_that_is_not_there_has_no_start() -> None:
    assert start_time_of(2**22 + 1) is None
    assert start_time_of(-1) is None

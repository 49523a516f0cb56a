"""A fork in the midst of an import of ours: the child can import the same module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FORK = """
import os, sys, threading, time
import atrains._engine.process

begun = threading.Event()
sys.begun = begun
importing = threading.Thread(target=lambda: __import__("slow_module"), name=sys.argv[1], daemon=True)
importing.start()
begun.wait()
child = os.fork()
if child == 0:
    import slow_module
    os._exit(0 if slow_module.whole else 1)
for _ in range(100):
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child waits for a thread that is not there")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_can_import_what_a_thread_of_ours_was_importing(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text("import sys, time\nsys.begun.set()\ntime.sleep(0.5)\nwhole = True\n", encoding="utf-8")
    (tmp_path / "fork.py").write_text(FORK, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(tmp_path / "fork.py"), "atrains-worker-0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

"""Clients side by side: starts the sink, makes the official client's environment, and has each client measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 600
INSTALLATION = 120
"""Seconds that the installation of the official client may take."""
OFFICIAL = "clearml"
MEASUREMENTS = {
    "http_one_by_one": "delivered",
    "http_arrays": "",
    "http_latency_up": "call p50",
    "http_latency_slow": "call p50",
    "http_latency_refusing": "call p50",
    "http_ticker": "late p99",
    "http_longest_callback": "",
    "http_memory": "per million",
    "http_artifacts_small": "uploaded",
    "http_artifacts_large": "uploaded",
    "http_artifacts_many": "",
}
"""Each measurement over HTTP, and the figure by which clients are compared; none where only this one can be measured."""


def make_official(folder: Path) -> str:
    """Make an environment with the official client, unless it is there; its interpreter.

    Raises:
        OSError: it could not be made; in words.
    """
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    try:
        if subprocess.run([python, "-c", f"import {OFFICIAL}"], capture_output=True, check=False, timeout=120).returncode == 0:
            return str(python)
    except OSError:
        subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, check=False, timeout=120)
    made = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--retries", "2", OFFICIAL],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=INSTALLATION,
    )
    if made.returncode:
        last = [line for line in made.stderr.splitlines() if line][-1:]
        raise OSError(f"{OFFICIAL} could not be installed: {''.join(last) or 'pip does not say why'}")
    return str(python)


@dataclass
class Bench:
    """A sink, and the interpreters of the clients.

    Attributes:
        interpreters: By the name of the client.
        environment: Of the processes.
        notes: What was not measured, and why.
    """

    interpreters: Mapping[str, str]
    environment: Mapping[str, str]
    url: str
    control: str
    notes: set[str] = field(default_factory=set)

    def measure(self, name: str, scale: float, folder: Path, turn: int) -> dict[str, float]:
        """The figures of one measurement: this client's by their names, those of another with its name before them."""
        folder.mkdir()
        compared = MEASUREMENTS[name]
        peers = [peer for peer in self.interpreters if peer == "atrains" or compared]
        figures: dict[str, float] = {}
        for peer in peers if turn % 2 == 0 else peers[::-1]:
            found = self._in_process(name, peer, scale, folder)
            figures |= found if peer == "atrains" else {f"{peer} {figure}": value for figure, value in found.items()}
        ours, theirs = figures.get(compared), figures.get(f"official {compared}")
        if ours and theirs:
            figures["times"] = ours / theirs if compared == "delivered" else theirs / ours
        return figures

    def _in_process(self, name: str, peer: str, scale: float, folder: Path) -> dict[str, float]:
        out = folder / f"{peer}.json"
        script = ["network.py", name, "--peer", peer, "--scale", str(scale), "--control", self.control, "--out", str(out)]
        # Kept out of the report: the official client says a lot at its start and its end.
        done = subprocess.run(
            [self.interpreters[peer], str(HERE / script[0]), *script[1:]],
            env={**self.environment, **self._variables(folder, peer)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        if done.returncode or not out.exists():
            raise SystemExit(f"{name} with {peer} failed ({done.returncode}):\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        if peer == "atrains" and done.stdout:
            print(f"    {done.stdout.rstrip()}", file=sys.stderr)
        result = json.loads(out.read_text(encoding="utf-8"))
        if "skipped" in result:
            self.notes.add(f"`{name}` was not measured with {peer}: {result['skipped']}.")
        figures: dict[str, float] = result["figures"]
        return figures

    def _variables(self, folder: Path, peer: str) -> dict[str, str]:
        prefix = "ATRAINS" if peer == "atrains" else "CLEARML"
        hosts = {f"{prefix}_{kind}_HOST": self.url for kind in ("API", "WEB", "FILES")}
        keys = {f"{prefix}_API_ACCESS_KEY": "key", f"{prefix}_API_SECRET_KEY": "secret"}
        others = {"ATRAINS_HOME": str(folder / "home"), "CLEARML_CONFIG_FILE": str(folder / "clearml.conf"), "HOME": str(folder)}
        return {**hosts, **keys, **others, "BENCH_FOLDER": str(folder), "CLEARML_SUPPRESS_UPDATE_MESSAGE": "1"}


@contextmanager
def opened(environment: Mapping[str, str], official: Path | None) -> Iterator[Bench]:
    """A bench with a running sink.

    Args:
        environment: Of the processes; what names a home or a server is added.
        official: Where the official client's environment is or is made; None to go without it.
    """
    interpreters, notes = {"atrains": sys.executable}, set()
    if official is None:
        notes.add("The official client was not asked for.")
    else:
        try:
            interpreters["official"] = make_official(official.resolve())
        except (OSError, subprocess.TimeoutExpired) as error:
            notes.add(f"The official client was not measured: {error}.")
    with subprocess.Popen(
        [sys.executable, str(HERE / "sink.py")], env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sink:
        assert sink.stdout is not None
        assert sink.stdin is not None
        try:
            where = json.loads(sink.stdout.readline())
            yield Bench(interpreters, environment, where["url"], where["control"], notes)
        finally:
            sink.stdin.close()
            try:
                sink.wait(10)
            except subprocess.TimeoutExpired:
                sink.kill()

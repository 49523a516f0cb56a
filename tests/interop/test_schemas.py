"""What atrains sends, against the request schemas inside the official package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atrains.testing import RunningServer
from tests.conformance.conftest import RECORD, REQUESTS
from tests.interop.conftest import HERE, Peer

pytestmark = pytest.mark.timeout(1200)

APIS = ("2.9", "2.13", "2.23")


def check(clearml: Peer, requests: list[tuple[str, str, Any]], *apis: str) -> dict[str, Any]:
    lines = "\n".join(json.dumps({"endpoint": endpoint, "version": version, "body": body}) for endpoint, version, body in requests)
    command = [str(clearml.python), str(HERE / "schemas" / "check.py"), *(["--api", *apis] if apis else [])]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(found["violations"])
    return found


def test_a_body_that_a_schema_does_not_allow_is_found(clearml: Peer) -> None:
    event = {"type": "log", "task": "x", "msg": "m"}
    found = check(
        clearml,
        [
            ("tasks.edit", "2.13", {"task": "x", "tags": "no list"}),
            ("tasks.get_by_id", "2.13", {}),
            ("events.add_batch", "2.13", [event, {**event, "level": "LOUD"}]),
            ("tasks.ping", "2.23", {"task": "x", "strange": 1}),
            ("tasks.nothing", "2.13", {}),
        ],
    )
    assert [(found_["endpoint"], found_["api"]) for found_ in found["violations"]] == [
        ("tasks.edit", "2.13"), ("tasks.get_by_id", "2.13"), ("events.add_batch", "2.13"),
    ]  # fmt: skip
    assert found["extras"] == {"tasks.ping 2.23: strange": 1}
    assert found["unknown"] == {"tasks.nothing 2.13": 1}
    assert found["checked"] == {"2.13": 3, "2.23": 1}


def conformance_requests(config: pytest.Config, record: Path) -> list[tuple[str, str, Any]]:
    """What the conformance suite sent to a served home: in this very run, or in one of its own where only these tests run."""
    recorded = config.stash.get(REQUESTS, [])
    if not recorded:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "served", str(HERE.parent / "conformance")]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}  # it is no worker of xdist
        done = subprocess.run(command, env={**ours, RECORD: str(record)}, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout
        recorded = [tuple(json.loads(line)) for line in record.read_text(encoding="utf-8").splitlines()]
    return recorded


def test_every_body_of_the_conformance_suite_is_allowed(clearml: Peer, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    requests = conformance_requests(request.config, tmp_path / "requests")
    sent = {endpoint for endpoint, *_ in requests}
    assert {"auth.login", "projects.create", "tasks.create", "events.add_batch", "tasks.clone", "tasks.enqueue", "queues.get_all"} <= sent
    # Each body once for every API: the schemas of three generations of the official client. A field or an endpoint that an older one does
    # not know is no violation, since a server of that age ignores it, or is not asked (`_transport/legacy.py`).
    for api in APIS:
        found = check(clearml, [(endpoint, api, body) for endpoint, _, body in requests], api)
        assert found["violations"] == [], api
        assert found["checked"][api] > 100
        known_later = {
            *(f"tasks.{name} 2.9" for name in ("add_or_update_artifacts", "add_or_update_model", "archive")),
            "models.archive_many 2.9",
            *(f"{kind}.unarchive_many {old}" for kind in ("models", "tasks") for old in APIS[:2]),
            *(f"events.get_task_single_value_metrics {old}" for old in APIS[:2]),
            f"tasks.update_tags {api}",  # of 2.27, which the package has no schemas of
        }
        assert set(found["unknown"]) <= known_later | {f"auth.login {api}"}, found["unknown"]


@pytest.mark.parametrize("api", APIS)  # the newest that the server says it has; requests name it, or an older one that does as well
def test_every_body_of_a_run_is_allowed(clearml: Peer, atrains_server: RunningServer, tmp_path: Path, api: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    environment = {**kept, **atrains_server.environment, "HOME": str(tmp_path), "CLEARML_FORCE_MAX_API_VERSION": api}
    made, read = tmp_path / "made.json", tmp_path / "read.json"

    def run(script: str, *arguments: str) -> None:
        command = [sys.executable, str(HERE / "peers" / script), *arguments]
        subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)

    run("atrains_write.py", "interop/schemas", "a run", str(made))
    run("atrains_read.py", json.loads(made.read_text())["id"], str(read))
    found = check(clearml, atrains_server.requests, api)
    assert found["violations"] == []
    assert found["checked"].get(api, 0) > 10, found

"""The clients that are measured side by side: what differs between them. Each is imported only in the process that measures it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class Peer(Protocol):
    """A client and its open run.

    Attributes:
        share: What part of the points it is given: the rates of the two lie far apart.
    """

    share: float

    def start(self) -> None:
        """Open a run."""

    def report(self, title: str, series: str, value: float, iteration: int) -> object:
        """Report one point."""

    def upload(self, files: Sequence[Path]) -> None:
        """Begin to upload files as artifacts.

        Raises:
            NotImplementedError: it cannot.
        """

    def flush(self) -> None:
        """Wait until all of it was taken."""

    def close(self) -> None:
        """End the run."""


class Atrains:
    """The client of this project, by its blocking API."""

    share = 1.0

    def start(self) -> None:
        from atrains import Task

        self.task: Any = Task.init("benchmark", "over http", reuse_last_task_id=False)
        self.report = self.task.get_logger().report_scalar

    def report_many(self, series: str, values: array[float], iterations: array[int]) -> None:
        """Report a whole array."""
        self.task.get_logger().report_scalars("train", series, values=values, iterations=iterations)

    def upload(self, files: Sequence[Path]) -> None:
        for file in files:
            if not self.task.upload_artifact(file.name, file):
                raise NotImplementedError(f"upload_artifact({file.name!r}) gave False")

    def flush(self) -> None:
        receipt = self.task.flush(wait_for_uploads=True, timeout=300)
        if not receipt:
            raise SystemExit(f"not everything was delivered: {receipt}")

    def close(self) -> None:
        self.task.close()


class Official:
    """The official client with its reporting in a thread, as it is fastest: a forked subprocess is its default.

    Everything that it would do of its own accord beside reporting is turned off; what looks for a repository does so before the run begins.
    """

    share = 0.01

    def __init__(self) -> None:
        settings = ["sdk.development.report_use_subprocess: false", "sdk.development.vcs_repo_detect_async: false"]
        Path(os.environ["CLEARML_CONFIG_FILE"]).write_text("\n".join(settings) + "\n", encoding="utf-8")

    def start(self) -> None:
        from clearml import Task  # type: ignore[import-not-found]  # in an environment of its own

        self.task: Any = Task.init(
            "benchmark",
            "over http",
            reuse_last_task_id=False,
            auto_connect_frameworks=False,
            auto_connect_arg_parser=False,
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )
        self.report = self.task.get_logger().report_scalar

    def upload(self, files: Sequence[Path]) -> None:
        for file in files:
            self.task.upload_artifact(file.name, artifact_object=file)

    def flush(self) -> None:
        self.task.flush(wait_for_uploads=True)

    def close(self) -> None:
        self.task.close()


PEERS: dict[str, type[Atrains | Official]] = {"atrains": Atrains, "official": Official}

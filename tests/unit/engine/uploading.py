"""A task in a home, a place for its files, and what uploads to it; both can be away."""

# ruff: noqa: ASYNC240  # files are looked at between the steps; nothing else runs on the loop of a test

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from atrains._engine.image_records import ImageAccount
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.upload import Handle, Upload
from atrains._engine.upload_records import ARTIFACT
from atrains._engine.uploads import Uploads
from atrains._engine.workers import DaemonExecutor
from atrains._local.transport import LocalTransport
from atrains._storage.base import Progress, StoredFile, UnreachableError
from atrains._storage.folder import FolderStorage
from atrains._storage.registry import StorageRegistry
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import TransportError


class Place(FolderStorage):
    """A folder that can be away, slow or full, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.refuses_for_now = ""
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.order: list[str] = []
        self.tries = 0

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        self.tries += 1
        if self.is_away or target_url.endswith(f"/{self.refuses_for_now}"):
            raise UnreachableError("it is away")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
            stored = await super().put(source, target_url, progress=progress, still=still)
            self.order.append(Path(target_url).name)
            return stored
        finally:
            self.at_once -= 1


class Home(LocalTransport):
    """A home that can be away, and checks that no artifact is recorded before its file is there."""

    retry_interval = 0.1

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.is_away = False
        self.says_nothing = False
        self.calls: Counter[str] = Counter()

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.is_away:
            raise TransportError("the home is away")
        if self.says_nothing:
            return {}
        self.calls[endpoint.name] += 1
        for entry in request.get("artifacts", ()):
            if entry.get("uri"):
                content = Path(entry["uri"].removeprefix("file://")).read_bytes()
                assert hashlib.sha256(content).hexdigest() == entry["hash"], entry
        return await super().call(endpoint, request)


class Bench:
    """A task in a home, and what uploads to it."""

    def __init__(self, folder: Path, workers: DaemonExecutor, limit: int) -> None:
        self.folder = folder
        self.workers = workers
        self.place = Place()
        self.home = Home(folder / "home")
        self.journals = folder / "journals"
        self.journal = Journal(self.journals, target=self.home.target, worker="host", workers=workers)
        self.uploads = self.make(limit)
        self.task = ""

    def storages(self) -> StorageRegistry:
        return StorageRegistry({"file": lambda: self.place})

    def make(self, limit: int) -> Uploads:
        return Uploads(
            self.journal,
            self.home,
            {},
            workers=self.workers,
            limit=limit,
            storages=self.storages,
            images=ImageAccount(Ledger(), 1 << 30),
        )

    async def begin(self) -> None:
        made = await self.home.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"})
        self.task = made["id"]
        await self.home.call(endpoints.TASKS_STARTED, {"task": self.task})

    def file(self, name: str, content: bytes, *, ours: bool = True) -> Path:
        path = self.journal.folder / f"upload-{uuid.uuid4().hex}" if ours else self.folder / f"upload-{name}"
        path.write_bytes(content)
        return path

    async def add(self, name: str, content: bytes = b"content", *, ours: bool = True, **more: Any) -> Handle:
        source = self.file(name, content, ours=ours)
        url = f"file://{self.folder}/stored/{name}"
        entry = {"key": name, "type": "bytes", "mode": "output", "uri": url, "timestamp": 1}
        fields = {"record": {"entry": entry}, "kind": ARTIFACT, "ours": ours, "size": len(content), **more}
        upload = Upload(task=self.task, name=name, url=url, source=source, **fields)
        handle = await asyncio.to_thread(self.uploads.add, upload)
        self.uploads.wake()
        return handle

    async def artifacts(self) -> dict[str, dict[str, Any]]:
        record = (await self.home.call(endpoints.TASKS_GET_BY_ID, {"task": self.task}))["task"]
        return {entry["key"]: entry for entry in record["execution"].get("artifacts", [])}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = asyncio.create_task(self.uploads.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    def left(self) -> list[str]:
        return [path.name for path in self.journal.folder.glob("upload-*")]

    def kill(self) -> None:
        """Leave the journal as a process does that was killed."""
        for file in (self.journal._series_file, self.journal._jobs_file):
            assert file is not None
            file.close()
        assert self.journal._lock_file is not None
        self.journal._lock_file.release()


@pytest.fixture(name="bench")
async def made_bench(tmp_path: Path, workers: DaemonExecutor) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, workers, limit=8)
    await made.begin()
    yield made
    await made.home.aclose()

"""The file server: uploads as multipart forms whose part names are paths, downloads, deletions. Where a path leads is in `addresses`.

Server: errors are text and never the envelope of the API.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson
from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from atrains._local.app import addresses
from atrains._local.app.bodies import parse_json
from atrains._local.app.work import Work

_CHUNK: Final = 1 << 20
_MOST_PARTS: Final = 1000
_FORM: Final = re.compile(r"multipart/form-data", re.IGNORECASE)
_TEMPORARY: Final = ".upload-"
_NAME: Final = re.compile(r';\s*name="((?:[^"\\]|\\.)*)"', re.IGNORECASE | re.DOTALL)
_EXTENDED_NAME: Final = re.compile(r";\s*name\*=\s*(?:utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)
_HEADERS: Final = {
    # A file of a run is shown, and never runs: scripts in it would have the rights of who looks at it.
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}


class FileServer:
    """Serves the files of a home.

    Args:
        home: The folder of the home.
        work: Runs what touches the disk in a worker thread.
    """

    def __init__(self, home: Path, work: Work) -> None:
        self._home = home
        self._work = work

    async def upload(self, request: web.Request) -> web.Response:
        """Store the parts of a form. Server: a part without a file name is skipped; the answer is the list of the stored paths."""
        if not request.content_type.startswith("multipart/"):
            return _text(400, "an upload is a multipart form whose part names are the target paths")
        stored: list[str] = []
        try:
            # Of any form but `form-data`, of which aiohttp would parse each part's names, and stumbles over semicolons in them.
            kind = _FORM.sub("multipart/mixed", request.headers[hdrs.CONTENT_TYPE], count=1)
            reader = MultipartReader({hdrs.CONTENT_TYPE: kind}, request.content)
            while (part := await reader.next()) is not None:
                if not isinstance(part, BodyPartReader):
                    return _text(400, "forms inside of forms are not taken")
                path = _part_path(part.headers.get(hdrs.CONTENT_DISPOSITION, ""))
                if path is None:
                    await part.release()
                    continue
                checked = addresses.check_path(path)
                if checked is None or checked != checked.encode(errors="replace").decode() or len(stored) >= _MOST_PARTS:
                    return _text(404, f"{path[:300]!r} is no path below the file server")
                await self._store(part, checked)
                stored.append(checked)
        except (ValueError, AssertionError, HttpProcessingError, web.RequestPayloadError) as error:  # aiohttp's words for a broken form
            return _text(400, f"the form cannot be read: {error}")
        except ConnectionError:  # the client gave it up: nobody is left to be answered
            return _text(400, "the connection broke off")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):  # tried again it would be the same
            return _text(400, "the file cannot be stored: there is a folder at its path, or a file where it needs a folder")
        except OSError as error:
            status = 507 if error.errno in {errno.ENOSPC, errno.EDQUOT} else 500
            return _text(status, f"the file cannot be stored: {error.strerror or error}")
        return web.Response(body=orjson.dumps(stored), content_type="text/html", charset="utf-8")

    async def _store(self, part: BodyPartReader, path: str) -> None:
        target = await self._work.run(lambda: self._target(path))
        temporary = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        descriptor = await self._work.run(lambda: os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _EXTRA_FLAGS, 0o600))
        try:
            try:
                while chunk := await part.read_chunk(_CHUNK):
                    await self._work.run(_writing(descriptor, chunk))
            finally:
                os.close(descriptor)
            await self._work.run(lambda: os.replace(temporary, target))
        except BaseException:  # a broken connection, a full disk: nothing half-written is left
            with suppress(FileNotFoundError):
                temporary.unlink()
            raise

    def _target(self, path: str) -> Path:
        """Where a file is to be put; the folders are made."""
        task = addresses.task_of(path)
        places = addresses.places_of(path)
        if task is not None and len(places) > 1 and not (self._home / "tasks" / task / "task.json").exists():
            places = places[1:]  # no task of this home
        target = self._home / places[0]
        if not self._is_inside(target):
            raise web.HTTPNotFound(text="this path leads out of the home")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_inside(target) or target.is_dir():
            raise web.HTTPNotFound(text="a folder has this path")
        return target

    def _is_inside(self, path: Path) -> bool:
        """Whether no link leads from the folder of files to another place. A whole folder of files may be one, to a larger disk."""
        relative = path.relative_to(self._home).parts
        root = self._home.joinpath(*relative[: 1 if relative[0] == "files" else 3])
        return path.resolve() == root.resolve().joinpath(*path.relative_to(root).parts)

    def find(self, path: str) -> Path | None:
        """The file that has this path; None when there is none."""
        checked = addresses.check_path(path)
        for place in addresses.places_of(checked) if checked else ():
            found = self._home / place
            if self._is_inside(found) and found.is_file() and not found.name.startswith(_TEMPORARY):
                return found
        return None

    async def download(self, request: web.Request, path: str) -> web.StreamResponse:
        """Send a file, or the part of it that was asked for. Server: ranges, entity tags, `?download`."""
        found = await self._work.run(lambda: self.find(path))
        if found is None:
            return _text(404, "there is no such file")
        headers = {**_HEADERS, hdrs.CONTENT_TYPE: content_type_of(found.name)}
        if "download" in request.query:
            headers[hdrs.CONTENT_DISPOSITION] = "attachment"
        return _PlainFile(found, headers=headers, chunk_size=_CHUNK >> 2)

    async def delete(self, path: str) -> web.Response:
        """Remove a file. Server: never a folder."""
        removed = await self._work.run(lambda: self._remove(path))
        return _text(200 if removed else 404, "" if removed else "there is no such file")

    async def delete_many(self, request: web.Request) -> web.Response:
        """Remove files and tell which were there. Server: `{files: [...]}`."""
        body = parse_json(await request.read())
        paths = body.get("files") if isinstance(body, dict) else None
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            return _text(400, 'the body must be {"files": [paths]}')
        deleted, errors = dict[str, str](), dict[str, dict[str, Any]]()
        for path in paths:
            if await self._work.run(_removing(self, unquote(path))):
                deleted[path] = path
            else:
                errors.setdefault("Not found", {})[path] = path
        return web.json_response({"deleted": deleted, "errors": errors})

    def _remove(self, path: str) -> bool:
        found = self.find(path)
        if found is None:
            return False
        found.unlink(missing_ok=True)
        return True


_EXTRA_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def content_type_of(name: str) -> str:
    """The type of a file by its name. Server: what is compressed stays so, and is sent as bytes."""
    kind, encoding = mimetypes.guess_type(name)
    if encoding or not kind:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind == "application/json" else kind


class _PlainFile(web.FileResponse):
    """A file as it is: aiohttp would send `x.csv.gz` in place of `x.csv`, as its compressed form, where both are there."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        kept = request.headers.copy()
        kept.pop(hdrs.ACCEPT_ENCODING, None)
        return await super().prepare(request.clone(headers=kept))


def _part_path(disposition: str) -> str | None:
    """The path that a part is stored at; None for a part that is no file. Only what the form's own syntax has encoded is decoded."""
    if "filename" not in disposition.lower():
        return None
    extended = _EXTENDED_NAME.search(disposition)
    if extended is not None:
        return unquote(extended[1])
    found = _NAME.search(disposition)
    return re.sub(r'\\(["\\])', r"\1", found[1]) if found else None


def _writing(descriptor: int, chunk: bytes) -> Callable[[], None]:
    def write() -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return write


def _removing(server: FileServer, path: str) -> Callable[[], bool]:
    return lambda: server._remove(path)  # noqa: SLF001  # a method of this file


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)

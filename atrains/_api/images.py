"""The reports of images and other media: where their files go, what they are called, and their way into the journal."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from atrains._api.outgoing import Outgoing, as_text, clean_name, joined, shortened
from atrains._engine import ledger
from atrains._engine.disabled import DisabledOutlet
from atrains._wire.artifacts import HOME_URL
from atrains._wire.events import EventKind
from atrains.errors import HomeError, JournalFullError, TaskClosedError, UsageError, ValidationError

_PIECE: Final = 1 << 20
_FORKED_NAMES: Final = 1000
"""File names of a title and series that a forked process has to itself: three digits behind its number."""


class ImageReports(Outgoing):
    """What a logger reports as files that are shown: images, audio, video, pages."""

    __slots__ = ()

    def report_image(
        self,
        title: str,
        series: str,
        iteration: int | None = 0,
        local_path: str | Path | None = None,
        image: Any = None,
        matrix: Any = None,
        max_image_history: int | None = None,
        delete_after_upload: bool = False,
        url: str | None = None,
    ) -> None:
        """Report an image: an array, an image of PIL, a file, or one that is on the web already.

        An array is encoded here, so that it may change afterwards: about 1 ms for 224x224 pixels and 20 ms for 1920x1080, in which other
        threads go on; a coroutine that reports large ones calls `await asyncio.to_thread(logger.report_image, ...)`. When this returns, the
        file is in the journal. It is uploaded in the background, and shown once it is there.

        Of each title and series the last 100 files are kept (`max_image_history`): file names are used again, and an image whose file was
        replaced is no longer among `get_debug_samples`.

        Args:
            title: The title, under which the image is found.
            series: The series.
            iteration: The iteration; the initial iteration of the task is added.
            local_path: An image file. It is copied here, at about 1 ms a MiB.
            image: An image of PIL, an array, a tensor or nested lists: one to three dimensions, 1, 3 or 4 channels, which stand last (or
                first, as torch has them). Floats that are all at most 1 are 0 to 1, other values 0 to 255, what lies outside is cut. It
                becomes a JPEG file without transparency, or what `sdk.metrics.images.format` says.
            matrix: The same; deprecated.
            max_image_history: How many files of this title and series are kept; below 1 for all.
            delete_after_upload: Remove the file at `local_path` once it is stored.
            url: The address of an image, recorded as it is.

        Raises:
            UsageError: none of `local_path`, `image`, `matrix` and `url` was given, or several.
            ValidationError: `local_path` is no path, or `url` is empty.
            TaskClosedError: the task was closed.
        """
        given = {"local_path": local_path, "image": image, "matrix": matrix, "url": url}
        _check_one("report_image", given)
        if matrix is not None:
            warnings.warn("report_image(matrix=...) is deprecated: use image=", DeprecationWarning, stacklevel=2)
        if url is not None:
            self._report_url(title, series, iteration, url)
        elif local_path is not None:
            self._report_file(title, series, iteration, local_path, max_image_history, remove=delete_after_upload)
        else:
            self._report_picture(title, series, iteration, image if matrix is None else matrix, max_image_history)

    def report_media(
        self,
        title: str,
        series: str,
        iteration: int | None = 0,
        local_path: str | Path | None = None,
        stream: IO[bytes] | IO[str] | None = None,
        file_extension: str | None = None,
        max_history: int | None = None,
        delete_after_upload: bool = False,
        url: str | None = None,
    ) -> None:
        """Report a file of any kind: audio, video, an image, a page of HTML, a text. The web application shows it by its extension.

        When this returns, its content is in the journal, and the file or stream may change. It is uploaded in the background.

        Args:
            title: The title, under which it is found.
            series: The series.
            iteration: The iteration; the initial iteration of the task is added.
            local_path: The file. It is copied here, at about 1 ms a MiB.
            stream: Something to read from its beginning, bytes or text; one that can seek is left where it was.
            file_extension: Of the stream's content, such as `.wav`.
            max_history: How many files of this title and series are kept; below 1 for all.
            delete_after_upload: Remove the file at `local_path` once it is stored.
            url: The address of the file, recorded as it is.

        Raises:
            UsageError: none of `local_path`, `stream` and `url` was given, or several.
            ValidationError: a stream without `file_extension`, `local_path` is no path, or `url` is empty.
            TaskClosedError: the task was closed.
        """
        _check_one("report_media", {"local_path": local_path, "stream": stream, "url": url})
        if url is not None:
            self._report_url(title, series, iteration, url)
        elif local_path is not None:
            self._report_file(title, series, iteration, local_path, max_history, remove=delete_after_upload)
        elif not file_extension or not isinstance(file_extension, str):
            raise ValidationError("report_media(stream=...) needs file_extension, such as '.wav': by it the file is shown")
        else:
            suffix = file_extension if file_extension.startswith(".") else f".{file_extension}"
            self._report_written(title, series, iteration, suffix, partial(_copy_stream, stream), max_history)

    def set_default_upload_destination(self, uri: str | Path) -> None:
        """Set where the files of images and other media go that are reported from now on; artifacts and models go to `task.output_uri`.

        Args:
            uri: A folder, which is made, or the URL of a file server.

        Raises:
            ConfigurationError: nothing can be stored there.
            StorageError: the folder cannot be made or written.
        """
        from atrains._storage.destinations import check_folder, destination_url

        url = destination_url(uri)
        if url is not None:
            check_folder(url)
        self._destination = url

    def get_default_upload_destination(self) -> str:
        """Where the files of images and other media go, as a URL: what was set, else the file server, or the task's folder."""
        return self._destination or self._files.shown

    def set_default_debug_sample_history(self, max_history: int) -> None:
        """Set how many files of each title and series are kept where a report does not say.

        Args:
            max_history: A number of files; below 1 for all.
        """
        self._history = int(max_history)

    def get_default_debug_sample_history(self) -> int:
        """How many files of each title and series are kept where a report does not say."""
        return self._history or self._files.settings.history

    # ---- on their way

    def _report_picture(
        self, title: str, series: str, iteration: int | None, image: Any, history: int | None = None, form: str | None = None
    ) -> None:
        """Report what becomes a picture, in the format that is configured or in another one."""
        settings = self._files.settings
        used, quality = form or settings.format, settings.quality

        def write(file: IO[bytes]) -> None:
            from atrains._wire.images import encode_image

            file.write(encode_image(image, used, quality))

        self._report_written(title, series, iteration, f".{used.lower()}", write, history)

    def _report_file(self, title: str, series: str, iteration: int | None, path: str | Path, history: int | None, *, remove: bool) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ValidationError(f"local_path is the path of a file, not {shortened(path)}")
        source = Path(path).expanduser().absolute()
        suffix = "".join(source.name.partition(".")[1:])
        copy = partial(_copy_file, source)
        self._report_written(title, series, iteration, suffix, copy, history, remove=(str(source),) if remove else ())

    def _report_written(
        self,
        title: str,
        series: str,
        iteration: int | None,
        suffix: str,
        write: Callable[[IO[bytes]], None],
        history: int | None,
        remove: tuple[str, ...] = (),
    ) -> None:
        """Write a file into the journal and have it uploaded; what fails is counted and named once."""
        step = self._step(EventKind.IMAGES, title, series, iteration)
        if step is None or isinstance(self._outlet, DisabledOutlet):
            return
        name, since = joined(title, series), time.time()
        outlet = self._outlet
        path: Path | None = None
        accepted = False
        try:
            path = outlet.upload_folder() / f"upload-{os.urandom(8).hex()}"
            with path.open("xb") as file:
                write(file)
            file_name = self._file_name(title, series, suffix, history)
            accepted = self._accept(path, clean_name(title), clean_name(series), step, file_name, remove=remove, since=since)
        except (JournalFullError, TaskClosedError):
            raise
        except HomeError as error:  # the journal was closed
            self._drop(EventKind.IMAGES, ledger.NO_ROOM, name, str(error))
        except Exception as error:  # reading or converting a user's object may raise anything; reporting never does  # noqa: BLE001
            self._drop(EventKind.IMAGES, ledger.BAD_INPUT, name, as_text(error))
        finally:
            if path is not None and not accepted:
                path.unlink(missing_ok=True)

    def _accept(self, path: Path, title: str, series: str, step: int, file_name: str, *, remove: tuple[str, ...], since: float) -> bool:
        """Note a file that is there in the journal, from where it is uploaded; False where there is no room for it."""
        from atrains._engine.upload import IMAGE, Upload

        outlet = self._outlet
        assert not isinstance(outlet, DisabledOutlet)
        size = path.stat().st_size
        name = joined(title, series)
        if not outlet.open_uploads().images.has_room(size):
            why = "images that wait to be uploaded have reached journal.max_bytes; raise it (ATRAINS_JOURNAL_MAX_BYTES)"
            self._drop(EventKind.IMAGES, ledger.FULL, name, why)
            if outlet.journal.raises_when_full:
                raise JournalFullError(f"an image of task {self._task} was not reported: {why}")
            return False
        url, key = self._url_of(title, series, file_name)
        event = {"timestamp": self._stamp(), "metric": title, "variant": series, "iter": step, "key": key, "url": url}
        outlet.add_image(
            Upload(
                task=self._task,
                name=name,
                kind=IMAGE,
                record={"journal": outlet.journal.id, "event": event},
                url=url,
                source=path,
                ours=True,
                size=size,
                remove=remove,
                since=since,
            )
        )
        return True

    def _report_url(self, title: str, series: str, iteration: int | None, url: str) -> None:
        step = self._step(EventKind.IMAGES, title, series, iteration)
        if step is None:
            return
        from atrains._wire.images import URL_LIMIT

        address, name = clean_name(url), joined(title, series)
        if not address:
            raise ValidationError("url is the address of an image or another file, not an empty text")
        if len(address.encode()) > URL_LIMIT:
            self._drop(EventKind.IMAGES, ledger.TOO_LARGE, name, f"a URL has at most {URL_LIMIT:,} bytes; report the image itself")
            return
        try:
            parts = urlsplit(address)
        except ValueError as error:
            self._drop(EventKind.IMAGES, ledger.BAD_INPUT, name, f"{shortened(address)} is no URL: {error}")
            return
        key = parts._replace(scheme="", netloc="").geturl() if parts.netloc else address
        event = {"timestamp": self._stamp(), "metric": clean_name(title), "variant": clean_name(series), "iter": step}
        self._record(EventKind.IMAGES, {"kind": "images", "task": self._task, "event": {**event, "key": key, "url": address}}, [], name)

    def _step(self, kind: EventKind, title: str, series: str, iteration: int | None) -> int | None:
        """The iteration as it is stored; None, counted, for one that cannot be.

        Raises:
            TaskClosedError: the task was closed.
        """
        self._check_open()
        why = "does not fit in 64 bit"
        try:
            step = int(iteration or 0) + self._offset
        except (TypeError, ValueError, OverflowError) as error:
            why = f"is no integer: {as_text(error)}"
        else:
            if -(2**63) <= step < 2**63:
                return step
        self._drop(kind, ledger.BAD_ITERATION, joined(title, series), f"iteration {shortened(iteration)} {why}")
        return None

    # ---- where to

    def _file_name(self, title: str, series: str, suffix: str, history: int | None) -> str:
        """`<title>_<series>_<number><suffix>`; the number begins again once the history is full."""
        counter = self._counters.setdefault((os.getpid(), title, series), itertools.count())
        number, kept = next(counter), history or self.get_default_debug_sample_history()
        if self._files.names_are_ours and os.getpid() == self._pid:
            text = f"{number % kept if kept > 0 else number:08d}"
        else:  # others report to the task as well, and count from 0: each has names of its own
            text = f"{os.getpid() & 0xFFFFF:05x}{number % (min(kept, _FORKED_NAMES) if kept > 0 else _FORKED_NAMES):03d}"
        return f"{title}_{series}_{text}{suffix}"

    def _url_of(self, title: str, series: str, file_name: str) -> tuple[str, str]:
        """The URL of a file, and its path below the destination."""
        from atrains._storage import layout

        destination = self._destination or self._files.usual
        folder = self._files.below(destination)
        below = layout.file_path(folder, "metrics", title, series)
        if self._folders.setdefault(below, (title, series)) != (title, series):  # `a/b` and `a.slash.b` are one name there
            series = f"{series}.{layout.digest(f'{title} {series}')}"
        path = layout.file_path(folder, "metrics", title, series, file_name)
        return (HOME_URL + path if destination is None else layout.join_url(destination, path)), path


def _check_one(method: str, given: dict[str, object]) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise UsageError(f"{method} takes one of {', '.join(given)}, not {' and '.join(names) or 'none'}")


def _copy_file(source: Path, target: IO[bytes]) -> None:
    import shutil

    with source.open("rb") as file:
        shutil.copyfileobj(file, target, _PIECE)


def _copy_stream(stream: Any, target: IO[bytes]) -> None:
    place = None
    if hasattr(stream, "seek") and hasattr(stream, "tell") and (not hasattr(stream, "seekable") or stream.seekable()):
        place = stream.tell()
        stream.seek(0)
    try:
        while piece := stream.read(_PIECE):
            target.write(piece.encode() if isinstance(piece, str) else piece)
    finally:
        if place is not None:
            stream.seek(place)

"""The settings of a process: what can be set, its unit, its default. Where a value comes from is up to `load`.

Named tuples, since each start of a program pays for making these classes: twenty dataclasses take ten times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

Durability: TypeAlias = Literal["process", "power", "memory"]
"""What a reported value survives: the end of the process, a power cut as well, or nothing."""
Overflow: TypeAlias = Literal["drop_oldest", "drop_new", "block", "raise"]
"""What happens to reports when the journals have reached their cap."""
TargetKind: TypeAlias = Literal["local", "server"]
"""The two homes."""


class Secret:
    """A key or a token. It compares by content and prints as `***`; only `reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the request that needs it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "***"


class Mode(StrEnum):
    """Whether anything is recorded at all."""

    ACTIVE = "active"
    DISABLED = "disabled"


class Timeout(NamedTuple):
    """How long one request may take."""

    connect: float
    """Seconds until the connection stands."""
    read: float
    """Seconds without a byte of the answer."""


class HttpSettings(NamedTuple):
    """How the API server is talked to."""

    max_req_size: int = 15 * 1024 * 1024
    """Bytes of the largest request body."""
    first_timeout: Timeout = Timeout(3.0, 10.0)
    """For the first request, which shows whether the server is there at all."""
    timeout: Timeout = Timeout(10.0, 300.0)
    """For every later request."""
    large_timeout: Timeout = Timeout(300.0, 300.0)
    """For a request whose body is larger than `large_body`."""
    large_body: int = 15_000
    """Bytes of a body from which on `large_timeout` holds."""
    retries: int = 240
    """Attempts after the first one, for failures that pass: no connection, 429, 502, 503, 509."""
    backoff_factor: float = 1.0
    """Seconds of the first wait between two attempts; each wait doubles the one before."""
    backoff_max: float = 120.0
    """Seconds of the longest wait between two attempts."""
    extra_retry_codes: tuple[int, ...] = ()
    """HTTP statuses that are retried besides the usual ones."""
    wait_on_maintenance_forever: bool = True
    """Whether a server that answers 503 is waited for without end."""
    token_refresh_threshold: float = 360.0
    """Seconds before its end at which a session token is renewed."""


class ProxySettings(NamedTuple):
    """Through which proxy servers are reached. The addresses are secrets: they may hold a password."""

    http: Secret | None = None
    """URL of the proxy for http:// addresses; None for none."""
    https: Secret | None = None
    """URL of the proxy for https:// addresses; None for none."""
    bypass: tuple[str, ...] = ()
    """Hosts that are reached directly: names (and what lies below them), addresses, networks as `10.0.0.0/8`, each with or without port."""


class ApiSettings(NamedTuple):
    """The server and who we are to it."""

    api_host: str | None = None
    """Base URL of the API server, no trailing slash; None on the local home."""
    web_host: str | None = None
    """Base URL of the web application, given or derived; None when neither is possible."""
    files_host: str | None = None
    """Base URL of the file server, given or derived; None when neither is possible."""
    access_key: Secret | None = None
    """The user key of the key pair."""
    secret_key: Secret | None = None
    """The secret of the key pair."""
    auth_token: Secret | None = None
    """A ready session token, used instead of the key pair."""
    verify_certificate: bool | str = True
    """Whether the server's TLS certificate is checked; a text is the file of the authorities to check it against."""
    client_certificate: Path | None = None
    """File of the certificate that shows a server who we are, PEM; None when no server asks for one."""
    client_key: Path | None = None
    """File of its private key, PEM; None when the key stands in the certificate's file."""
    client_key_password: Secret | None = None
    """What the private key is encrypted with."""
    proxy: ProxySettings = ProxySettings()
    """The way to the servers."""
    max_api_version: tuple[int, int] | None = None
    """The highest API version that is spoken; None leaves it to the server."""
    http: HttpSettings = HttpSettings()
    """How requests are made."""


class HomeSettings(NamedTuple):
    """The folders that atrains owns on this machine."""

    path: Path
    """The local home, absolute: tasks, files, index and journals."""
    cache_dir: Path
    """Where fetched files are kept, absolute; `<home>/cache` unless set."""


class CacheSettings(NamedTuple):
    """How much of the fetched files is kept. The least recently used goes first; what a process was given last stays."""

    max_bytes: int = 10 << 30
    """Bytes of all files of a context, with what was unpacked of them."""
    max_files: int = 1000
    """Files of a context; `StorageManager.set_cache_file_limit` sets another number for one process."""


class JournalSettings(NamedTuple):
    """The buffer between a report and its home."""

    durability: Durability = "process"
    """What a reported value survives."""
    overflow: Overflow = "drop_oldest"
    """What happens at `max_bytes`."""
    max_bytes: int = 1 << 30
    """Bytes that all journals of a home may take together."""
    directory: Path | None = None
    """Where journals stand, absolute; None leaves the choice to the journal (in the home, if that is on a local disk)."""


class ReportingSettings(NamedTuple):
    """How often the home hears from us, and under which name."""

    worker: str
    """The name of this machine to the home; its host name unless set."""
    flush_period: float = 2.0
    """Seconds between two deliveries of what was reported."""
    ping_period: float = 30.0
    """Seconds between two signs of life of a running task."""


class ConsoleSettings(NamedTuple):
    """What is captured of the console."""

    capture: bool = True
    """Whether `Task.init` may capture standard output, standard error and logging at all."""
    cr_flush_period: float = 10.0
    """Seconds between two snapshots of a progress display; 0 makes every redraw a line."""


class MonitorSettings(NamedTuple):
    """How the machine is watched while the main run is open."""

    enabled: bool = True
    """Whether it is watched at all."""
    first_report: float = 10.0
    """Seconds from the beginning of the run to the first point."""
    report_period: float = 30.0
    """Seconds between two points of a curve, each the mean of its samples."""
    sample_period: float = 2.0
    """Seconds between two samples."""
    global_memory: bool = False
    """Whether `memory_used_gb` is that of the whole machine rather than of this process and its children."""


class UploadSettings(NamedTuple):
    """How files are uploaded."""

    max_concurrent: int = 8
    """Files on their way at once, for each home."""


class ArtifactSettings(NamedTuple):
    """How registered artifacts are watched."""

    watch_period: float = 30.0
    """Seconds between two looks at a registered table."""


class ImageSettings(NamedTuple):
    """How images are reported."""

    history: int = 100
    """File names of one title and series until the first is used again; below 1 for no end."""
    format: str = "JPEG"
    """The format that arrays become, as Pillow names it."""
    quality: int = 87
    """Of formats that have one, from 1 to 100."""


class CaptureSettings(NamedTuple):
    """What is recorded of the program that runs."""

    enabled: bool = True
    """Whether anything of it is: repository, difference, entry point, packages."""
    diff: bool = True
    """Whether what differs from the commit is recorded, or the text of a program without one."""
    diff_from_remote: bool = False
    """Whether the difference counts from the last commit that others have, rather than from the last one here."""
    all_packages: bool = False
    """Whether every installed package is recorded, rather than those that the program imports."""
    redact: bool = True
    """Whether secrets are taken out of what is recorded."""
    environment: tuple[str, ...] = ()
    """Environment variables that are recorded; a name may begin or end with `*`."""
    docker_image: str | None = None
    """The image, and arguments for docker behind it, in which agents are to run the task."""
    docker_script: str | None = None
    """The script that is to set up the container."""


class TaskSettings(NamedTuple):
    """Defaults of `Task.init`."""

    reuse_window_hours: float = 72.0
    """Hours after which the last task of a name is no longer reused."""
    no_reuse: bool = False
    """Whether reuse is switched off whatever the call says."""
    support_stopping: bool = True
    """Whether a run ends when somebody stops its task from outside."""
    iteration_offset: int | None = None
    """The initial iteration of a run that begins; None for 0, or for the one behind the last where a run goes on."""
    default_output_uri: str | None = None
    """Where models and artifacts go when the task names no destination."""


class TargetChoice(NamedTuple):
    """Which home was chosen, and what chose it."""

    kind: TargetKind
    """The local home, or a server."""
    source: str
    """The variable, file or call that decided, as the start line shows it; `nothing configured` when none did."""


class Settings(NamedTuple):
    """Everything that can be configured, as it holds for this process."""

    target: TargetChoice
    """Which home this process records to."""
    home: HomeSettings
    """The folders of this machine."""
    reporting: ReportingSettings
    """Periods and the worker's name."""
    api: ApiSettings = ApiSettings()
    """The server; without hosts on the local home."""
    cache: CacheSettings = CacheSettings()
    """Fetched files."""
    journal: JournalSettings = JournalSettings()
    """The buffer."""
    console: ConsoleSettings = ConsoleSettings()
    """What is captured of the console."""
    monitor: MonitorSettings = MonitorSettings()
    """How the machine is watched."""
    uploads: UploadSettings = UploadSettings()
    """Files on their way."""
    artifacts: ArtifactSettings = ArtifactSettings()
    """Registered tables."""
    images: ImageSettings = ImageSettings()
    """How images are reported."""
    capture: CaptureSettings = CaptureSettings()
    """What is recorded of the program."""
    task: TaskSettings = TaskSettings()
    """Defaults of `Task.init`."""
    mode: Mode = Mode.ACTIVE
    """Whether anything is recorded."""
    quiet: bool = False
    """Whether the lines printed at start and exit are left out."""
    no_argparse: bool = False
    """Whether argparse is left alone, whatever `Task.init` was told."""
    remote_task_id: str | None = None
    """The task that an agent started this process for; None in a run of one's own."""
    sources: Mapping[str, str] = MappingProxyType({})
    """Where each value came from, by its path in this tree (`api.api_host`); what has its default is not listed."""


class Credentials(NamedTuple):
    """What `set_credentials` was given; None where it was given nothing."""

    api_host: str | None = None
    """Base URL of the API server, or `local`."""
    web_host: str | None = None
    """Base URL of the web application."""
    files_host: str | None = None
    """Base URL of the file server."""
    access_key: Secret | None = None
    """The user key."""
    secret_key: Secret | None = None
    """Its secret."""


LOCAL: Final = "local"
"""The API host that means the local home."""

"""Which layer wins for a setting: a user who sets a value in one place must get that value, or be told what won."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atrains._config import NOTHING_CONFIGURED, Credentials, Mode, Secret, Settings, load_settings
from atrains.errors import ConfigurationError

Load = Callable[..., Settings]
Write = Callable[[str, str], Path]
Warned = Callable[[], list[str]]
GIVEN = "http://given:8008"
FILE = "http://file:8008"
VARIABLE = "http://variable:8008"


def _get(settings: Settings, path: str) -> object:
    value: object = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value.reveal() if isinstance(value, Secret) else value


def test_nothing_configured_is_the_local_home_with_the_documented_defaults(load: Load, user: Path) -> None:
    settings = load()
    assert (settings.target.kind, settings.target.source) == ("local", NOTHING_CONFIGURED)
    assert settings.home.path == user / ".atrains"
    assert settings.home.cache_dir == user / ".atrains" / "cache"
    assert settings.api.api_host is settings.api.web_host is settings.api.files_host is None
    assert settings.api.http.max_req_size == 15 * 1024 * 1024
    assert (settings.reporting.flush_period, settings.reporting.ping_period) == (2.0, 30.0)
    assert settings.reporting.worker
    assert (settings.task.reuse_window_hours, settings.task.no_reuse) == (72.0, False)
    assert (settings.journal.durability, settings.journal.overflow, settings.journal.max_bytes) == ("process", "drop_oldest", 2**30)
    assert (settings.mode, settings.quiet, settings.remote_task_id) == (Mode.ACTIVE, False, None)
    assert dict(settings.sources) == {}


@pytest.mark.parametrize(
    ("path", "field", "key", "suffix"),
    [
        ("api.api_host", "api_host", "api.api_server", "API_HOST"),
        ("api.web_host", "web_host", "api.web_server", "WEB_HOST"),
        ("api.files_host", "files_host", "api.files_server", "FILES_HOST"),
        ("api.access_key", "access_key", "api.credentials.access_key", "API_ACCESS_KEY"),
        ("api.secret_key", "secret_key", "api.credentials.secret_key", "API_SECRET_KEY"),
    ],
)
def test_each_layer_wins_over_the_one_below(
    load: Load, write: Write, warnings_of: Warned, path: str, field: str, key: str, suffix: str
) -> None:
    wrap = Secret if field.endswith("_key") else str
    given = Credentials(**{"api_host": GIVEN, field: wrap(GIVEN)})
    settings = load(given)
    assert (_get(settings, path), settings.sources[path]) == (GIVEN, "Task.set_credentials")
    assert warnings_of() == []

    write("trains.conf", f'{key} = "{FILE}"')
    settings = load(given)
    assert (_get(settings, path), settings.sources[path]) == (FILE, "~/trains.conf")

    variables: dict[str, str] = {}
    for prefix in ("TRAINS_", "CLEARML_", "ATRAINS_"):
        variables[prefix + suffix] = f"http://{prefix.strip('_').lower()}:8008"
        settings = load(given, **variables)
        assert (_get(settings, path), settings.sources[path]) == (variables[prefix + suffix], prefix + suffix)


@pytest.mark.parametrize(
    ("path", "key", "text", "in_file", "variable", "in_variable", "result"),
    [
        ("api.verify_certificate", "api.verify_certificate", "false", False, "CLEARML_API_HOST_VERIFY_CERT", "yes", True),
        (
            "api.http.extra_retry_codes",
            "api.http.extra_retry_codes",
            "[500]",
            (500,),
            "CLEARML_API_EXTRA_RETRY_CODES",
            "500, 504",
            (500, 504),
        ),
        ("reporting.flush_period", "sdk.development.worker.report_period_sec", "5", 5.0, "ATRAINS_FLUSH_PERIOD", "0.05", 0.05),
        (
            "task.default_output_uri",
            "sdk.development.default_output_uri",
            '"s3://a"',
            "s3://a",
            "TRAINS_DEFAULT_OUTPUT_URI",
            "s3://b",
            "s3://b",
        ),
        ("journal.durability", "atrains.journal.durability", "power", "power", "ATRAINS_JOURNAL_DURABILITY", "MEMORY", "memory"),
        ("journal.overflow", "atrains.journal.overflow", "block", "block", "ATRAINS_JOURNAL_OVERFLOW", "raise", "raise"),
        ("journal.max_bytes", "atrains.journal.max_bytes", "4096", 4096, "ATRAINS_JOURNAL_MAX_BYTES", "8192", 8192),
        ("journal.directory", "atrains.journal.directory", '"/j"', Path("/j"), "ATRAINS_JOURNAL_DIRECTORY", "/k", Path("/k")),
        ("home.path", "atrains.home", '"/h"', Path("/h"), "ATRAINS_HOME", "/i", Path("/i")),
        ("home.cache_dir", "sdk.storage.cache.default_base_dir", '"/c"', Path("/c"), "TRAINS_CACHE_DIR", "/d", Path("/d")),
    ],
)
def test_a_file_wins_over_the_default_and_a_variable_over_the_file(
    load: Load, write: Write, path: str, key: str, text: str, in_file: object, variable: str, in_variable: str, result: object
) -> None:
    write("clearml.conf", f"{key} = {text}")
    settings = load()
    assert (_get(settings, path), settings.sources[path]) == (in_file, "~/clearml.conf")
    settings = load(**{variable: in_variable})
    assert (_get(settings, path), settings.sources[path]) == (result, variable)


@pytest.mark.parametrize(
    ("key", "text", "path", "expected"),
    [
        ("api.http.max_req_size", "1000", "api.http.max_req_size", 1000),
        ("api.http.retries.total", '"7"', "api.http.retries", 7),
        ("api.http.retries.backoff_factor", "0.5", "api.http.backoff_factor", 0.5),
        ("api.http.retries.backoff_max", "9", "api.http.backoff_max", 9.0),
        ("api.http.wait_on_maintenance_forever", "no", "api.http.wait_on_maintenance_forever", False),
        ("api.auth.token_expiration_threshold_sec", "60", "api.http.token_refresh_threshold", 60.0),
        ("sdk.development.worker.report_period_sec", "0.1", "reporting.flush_period", 1.0),
        ("sdk.development.worker.report_period_sec", "5 s", "reporting.flush_period", 5.0),
        ("sdk.development.worker.ping_period_sec", "0", "reporting.ping_period", 1.0),
        ("sdk.development.task_reuse_time_window_in_hours", "1.5", "task.reuse_window_hours", 1.5),
        ("api.host", "http://alias:8008", "api.api_host", "http://alias:8008"),
    ],
)
def test_keys_of_shared_files_are_understood(load: Load, write: Write, key: str, text: str, path: str, expected: object) -> None:
    write("trains.conf", f"{key}: {text if '//' not in text else chr(34) + text + chr(34)}")
    assert _get(load(), path) == expected


def test_an_empty_variable_and_an_empty_key_count_as_unset(load: Load, write: Write) -> None:
    write("trains.conf", 'api { api_server: "", web_server: null }')
    assert load(TRAINS_API_HOST="  ").target.source == NOTHING_CONFIGURED
    settings = load(Credentials(api_host=GIVEN), TRAINS_API_HOST="")
    assert (settings.api.api_host, settings.api.web_host) == (GIVEN, "http://given:8080")


def test_one_warning_names_all_that_won_over_the_call(load: Load, write: Write, warnings_of: Warned) -> None:
    write("trains.conf", f'api {{ api_server: "{FILE}", credentials {{ access_key: "from-file" }} }}')
    given = Credentials(api_host=GIVEN, access_key=Secret("given-key"), secret_key=Secret("given-secret"))
    load(given, CLEARML_API_SECRET_KEY="from-variable")
    (warning,) = warnings_of()
    assert "api_host (set by ~/trains.conf)" in warning
    assert "access_key (set by ~/trains.conf)" in warning
    assert "secret_key (set by CLEARML_API_SECRET_KEY)" in warning


def test_no_warning_when_the_winner_says_the_same(load: Load, warnings_of: Warned) -> None:
    settings = load(Credentials(api_host=GIVEN), TRAINS_API_HOST=GIVEN + "/")
    assert settings.api.api_host == GIVEN
    assert warnings_of() == []


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"ATRAINS_API_HOST": "local"}, "ATRAINS_API_HOST"),
        ({"ATRAINS_API_HOST": "LOCAL", "CLEARML_API_HOST": VARIABLE}, "ATRAINS_API_HOST"),
        ({"CLEARML_OFFLINE_MODE": "1"}, "CLEARML_OFFLINE_MODE"),
        ({"TRAINS_OFFLINE_MODE": "yes", "ATRAINS_API_HOST": VARIABLE}, "TRAINS_OFFLINE_MODE"),
        ({"CLEARML_OFFLINE_MODE": "2.9"}, "CLEARML_OFFLINE_MODE"),
    ],
)
def test_the_local_home_can_be_forced_over_a_configured_server(
    load: Load, write: Write, warnings_of: Warned, variables: dict[str, str], source: str
) -> None:
    write("trains.conf", f'api.api_server = "{FILE}"\napi.web_server = "http://web"')
    settings = load(Credentials(api_host=GIVEN), **variables)
    assert (settings.target.kind, settings.target.source) == ("local", source)
    assert settings.api.api_host is settings.api.web_host is settings.api.files_host is None
    assert len(warnings_of()) == 1


def test_a_call_that_asks_for_a_server_is_told_that_offline_mode_won(load: Load, warnings_of: Warned) -> None:
    assert load(Credentials(api_host=GIVEN), CLEARML_OFFLINE_MODE="1").target.kind == "local"
    assert "api_host (set by CLEARML_OFFLINE_MODE)" in warnings_of()[0]


def test_local_in_a_file_or_a_call_is_the_local_home(load: Load, write: Write) -> None:
    assert load(Credentials(api_host="local")).target.source == "Task.set_credentials"
    write("trains.conf", "api.api_server = local")
    assert (load().target.kind, load().target.source) == ("local", "~/trains.conf")
    assert load(ATRAINS_OFFLINE_MODE="off", TRAINS_API_HOST=VARIABLE).target.kind == "server"


def test_a_server_without_keys_is_still_the_target(load: Load) -> None:
    settings = load(TRAINS_API_HOST=VARIABLE)
    assert (settings.target.kind, settings.target.source) == ("server", "TRAINS_API_HOST")
    assert settings.api.access_key is settings.api.secret_key is None


def test_disabled_mode_needs_no_file_and_no_server(load: Load, write: Write, warnings_of: Warned) -> None:
    write("trains.conf", "{ malformed")
    settings = load(Credentials(api_host=GIVEN), ATRAINS_MODE="Disabled", TRAINS_API_HOST=VARIABLE)
    assert settings.mode is Mode.DISABLED
    assert (settings.target.kind, settings.target.source) == ("local", "ATRAINS_MODE")
    assert warnings_of() == []


@pytest.mark.parametrize("word", ["y", "YES", "t", "true", "on", "1"])
def test_yes_words(load: Load, word: str) -> None:
    settings = load(ATRAINS_QUIET=word, CLEARML_TASK_NO_REUSE=word)
    assert settings.quiet
    assert settings.task.no_reuse


@pytest.mark.parametrize("word", ["n", "NO", "f", "false", "off", "0", ""])
def test_no_words(load: Load, word: str) -> None:
    settings = load(ATRAINS_QUIET=word, CLEARML_TASK_NO_REUSE=word)
    assert not settings.quiet
    assert not settings.task.no_reuse


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ATRAINS_QUIET", "maybe", "yes, t, true, on, 1 or n, no"),
        ("CLEARML_OFFLINE_MODE", "nearly", "yes, t, true, on, 1 or n, no"),
        ("TRAINS_TASK_NO_REUSE", "2", "yes, t, true, on, 1 or n, no"),
        ("CLEARML_API_HOST_VERIFY_CERT", "/no/such/file.pem", "path of a file of certificate authorities that exists"),
        ("ATRAINS_MODE", "off", "active, disabled"),
        ("ATRAINS_FLUSH_PERIOD", "0", "a number of seconds above 0"),
        ("ATRAINS_FLUSH_PERIOD", "nan", "a number of seconds above 0"),
        ("ATRAINS_JOURNAL_MAX_BYTES", "1 GiB", "a number of bytes"),
        ("ATRAINS_JOURNAL_DURABILITY", "forever", "process, power, memory"),
        ("ATRAINS_JOURNAL_OVERFLOW", "drop", "drop_oldest, drop_new, block, raise"),
        ("CLEARML_API_EXTRA_RETRY_CODES", "500;501", "HTTP statuses"),
        ("TRAINS_API_HOST", "localhost:8008", "http://localhost:8008"),
        ("TRAINS_API_HOST", "http://host:port", "http://localhost:8008"),
        ("TRAINS_API_HOST", "http://", "http://localhost:8008"),
    ],
)
def test_a_bad_variable_is_named_with_its_value_and_what_was_expected(load: Load, variable: str, value: str, expected: str) -> None:
    server = {} if "HOST" in variable else {"TRAINS_API_HOST": VARIABLE}
    with pytest.raises(ConfigurationError) as caught:
        load(**server, **{variable: value})
    for part in (variable, value, expected):
        assert part in str(caught.value)


def test_tilde_and_variables_in_paths(load: Load, write: Write, user: Path) -> None:
    assert load(ATRAINS_HOME="~/runs").home.path == user / "runs"
    assert load(ATRAINS_HOME="$SCRATCH/${WHO}/runs", SCRATCH="/scratch", WHO="me").home.path == Path("/scratch/me/runs")
    assert load(ATRAINS_HOME="/x", CLEARML_CACHE_DIR="~/c").home.cache_dir == user / "c"
    assert load(ATRAINS_HOME="/$UNSET_NAME/x").home.path == Path("/$UNSET_NAME/x")
    write("trains.conf", 'atrains.home = "~/from file"')
    assert load().home.path == user / "from file"
    assert load(ATRAINS_HOME="relative").home.path.is_absolute()


def test_other_homes_than_ours_are_not_taken_for_it(load: Load, user: Path) -> None:
    assert load(TRAINS_HOME="/elsewhere", CLEARML_HOME="/elsewhere").home.path == user / ".atrains"


def test_a_certificate_file_is_taken(load: Load, write: Write) -> None:
    authorities = write("ca.pem", "")
    assert load(TRAINS_API_HOST=VARIABLE, CLEARML_API_HOST_VERIFY_CERT="~/ca.pem").api.verify_certificate == str(authorities)


def test_worker_remote_task_and_token(load: Load) -> None:
    settings = load(TRAINS_WORKER_NAME="gpu-1", CLEARML_TASK_ID=" abc ", CLEARML_AUTH_TOKEN="jwt")
    assert (settings.reporting.worker, settings.remote_task_id) == ("gpu-1", "abc")
    assert settings.api.auth_token == Secret("jwt")


def test_the_given_home_directory_is_used_instead_of_the_variable(tmp_path: Path) -> None:
    (tmp_path / "trains.conf").write_text(f'api.api_server = "{FILE}"', encoding="utf-8")
    assert load_settings({"HOME": "/nowhere"}, home_directory=tmp_path).target.source == "~/trains.conf"

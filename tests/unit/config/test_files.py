"""Configuration files: which are read, how they are merged, and what a user is told about one that cannot be used."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._config import Settings, load_settings
from atrains.errors import ConfigurationError

Load = Callable[..., Settings]
Write = Callable[[str, str], Path]


def test_the_later_file_wins_key_by_key(load: Load, write: Write) -> None:
    write("trains.conf", 'api { api_server: "http://one:8008", credentials { access_key: "one", secret_key: "one" } }')
    write("clearml.conf", 'api { api_server: "http://two:8008", credentials { secret_key: "two" } }')
    loaded = load()
    assert (loaded.api.api_host, loaded.target.source) == ("http://two:8008", "~/clearml.conf")
    assert loaded.api.access_key.reveal() == "one"
    assert loaded.api.secret_key.reveal() == "two"


def test_a_null_in_the_later_file_unsets_the_key(load: Load, write: Write) -> None:
    write("trains.conf", 'api.credentials { access_key: "one" }')
    write("clearml.conf", "api.credentials.access_key: null")
    assert load().api.access_key is None


def test_a_named_file_replaces_the_usual_ones(load: Load, write: Write, tmp_path: Path) -> None:
    write("trains.conf", 'api.api_server = "http://usual:8008"')
    named = tmp_path / "named.conf"
    named.write_text('api.api_server = "http://named:8008"', encoding="utf-8")
    loaded = load(TRAINS_CONFIG_FILE=str(named))
    assert (loaded.api.api_host, loaded.target.source) == ("http://named:8008", str(named))
    write("own.conf", 'api.api_server = "http://own:8008"')
    assert load(CLEARML_CONFIG_FILE="~/own.conf", TRAINS_CONFIG_FILE=str(named)).target.source == "~/own.conf"


def test_a_named_file_that_is_missing_is_mentioned_and_no_error(load: Load, write: Write) -> None:
    write("trains.conf", 'api.api_server = "http://usual:8008"')
    loaded = load(TRAINS_CONFIG_FILE="~/missing.conf")
    assert loaded.target.kind == "local"
    assert re.fullmatch(r"nothing configured \(TRAINS_CONFIG_FILE names .*/missing\.conf, which does not exist\)", loaded.target.source)


def test_a_configuration_folder_lies_below_the_files_and_has_environments(load: Load, write: Write) -> None:
    write("tree/default/api.conf", 'api_server: "http://default:8008"\ncredentials.access_key: "default"\nhttp.max_req_size: 1')
    write("tree/default/sdk/development.conf", "task_reuse_time_window_in_hours: 5")
    write("tree/staging/api.conf", 'api_server: "http://staging:8008"')
    loaded = load(CLEARML_CONFIG_PATH="~/tree")
    assert (loaded.api.api_host, loaded.task.reuse_window_hours) == ("http://default:8008", 5.0)
    loaded = load(CLEARML_CONFIG_PATH="~/tree", TRAINS_ENV="staging")
    assert (loaded.api.api_host, loaded.api.access_key.reveal()) == ("http://staging:8008", "default")
    write("clearml.conf", 'api.api_server: "http://file:8008"')
    loaded = load(CLEARML_CONFIG_PATH="~/tree", TRAINS_ENV="staging")
    assert (loaded.api.api_host, loaded.api.http.max_req_size) == ("http://file:8008", 1)
    assert "which is not a folder" in load(TRAINS_CONFIG_PATH="~/none", TRAINS_CONFIG_FILE="~/none").target.source


@pytest.mark.parametrize(
    "text",
    [
        'api.api_server = "http://h:8008"\napi.credentials.access_key = "x"',
        '{ api { api_server: "http://h:8008", credentials { access_key: x } } }',
        '{"api": {"api_server": "http://h:8008", "credentials": {"access_key": "x"}}}',
        'api {\n  # a comment\n  api_server: http://h:8008/ // more\n  credentials {"access_key" = "x"}\n}\nother.tool { key: [1, 2] }',
        '\ufeffapi.api_server = "http://h:8008"\r\napi.credentials.access_key = "x"\r\n',
    ],
    ids=["dotted", "braces", "json", "comments and unknown keys", "windows"],
)
def test_the_forms_that_a_file_may_have(load: Load, write: Write, text: str) -> None:
    write("trains.conf", text)
    loaded = load()
    assert (loaded.api.api_host, loaded.api.access_key.reveal()) == ("http://h:8008", "x")


def test_substitution_takes_variables_and_keys(load: Load, write: Write) -> None:
    write(
        "trains.conf",
        'name: h\napi { api_server: "http://"${name}":8008", credentials { access_key: ${?MY_KEY}, secret_key: ${?NOT_SET} } }',
    )
    loaded = load(MY_KEY="from the environment")
    assert loaded.api.api_host == "http://h:8008"
    assert loaded.api.access_key.reveal() == "from the environment"
    assert loaded.api.secret_key is None
    assert load().api.access_key is None


def test_an_included_file_is_read_and_its_faults_are_its_own(load: Load, write: Write) -> None:
    write("parts/more.conf", 'api.credentials.access_key = "x"')
    write("trains.conf", 'include "parts/more.conf"\n')
    assert load().api.access_key.reveal() == "x"
    write("parts/more.conf", "fine: 1\nbad = { a: 1")
    with pytest.raises(ConfigurationError, match=r"a file included by ~/trains.conf, line 2.*'bad = { a: 1'"):
        load()
    write("parts/more.conf", "fine: 1\nbad = = 2")
    with pytest.raises(ConfigurationError, match=r"~/trains.conf, line 1.*include .*look into the included file"):
        load()
    write("parts/more.conf", "fine: 1\n\nbad = ${missing}")
    with pytest.raises(ConfigurationError, match=r"a file included by ~/trains.conf, line 3: cannot resolve \$\{missing\}"):
        load()
    write("trains.conf", 'include required("none.conf")\n')
    with pytest.raises(ConfigurationError, match=r"~/trains.conf includes .*none.conf, which cannot be read"):
        load()


@pytest.mark.parametrize(
    ("text", "line", "offending"),
    [
        ('api { api_server: "x"', 1, 'api { api_server: "x"'),
        ('api {\n\tapi_server = "x\n}\n', 2, 'api_server = "x'),
        ("x: 1\n}\n", 2, "}"),
        ("a: [1, 2}\n", 1, "a: [1, 2}"),
        ("x: 1\njust some words\n", 2, "just some words"),
        ("x: 1\njust some words\n\ny: 2", 2, "just some words"),
        ("x: 1\na == 2", 2, "a == 2"),
        ('x: """never closed', 1, "never closed"),
        ("x: 1\ny: ${missing}\n", 2, "y: ${missing}"),
        ("a: ${b}\nb: ${a}", 1, "a: ${b}"),
        ('x: 1\napi = "s"\n"api" { host: 1 }\n api.host = 2', None, "api"),
        ("[1, 2]", 1, "a list"),
        ("\x00\x01", 1, "\\x00"),
        ("{" * 5000, 1, "{{{"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_text(load: Load, write: Write, text: str, line: int | None, offending: str) -> None:
    write("clearml.conf", text)
    with pytest.raises(ConfigurationError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"~/clearml.conf, line {line}" if line else "~/clearml.conf")
    assert offending in message
    assert len(message) < 400


def test_a_file_that_is_no_text_or_no_file(load: Load, user: Path) -> None:
    (user / "trains.conf").write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(ConfigurationError, match=r"^~/trains.conf, line 2: not UTF-8"):
        load()
    (user / "trains.conf").unlink()
    (user / "trains.conf").mkdir()
    with pytest.raises(ConfigurationError, match=r"^~/trains.conf cannot be read"):
        load()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(load: Load, write: Write) -> None:
    write("trains.conf", "a: 1").chmod(0)
    with pytest.raises(ConfigurationError, match=r"^~/trains.conf cannot be read: Permission denied"):
        load()


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("# max_req_size: 1\napi.http {\n  max_req_size: big\n}", "line 3: api.http.max_req_size is 'big'", "a number of bytes"),
        ("api.http.max_req_size: 1.5", "line 1: api.http.max_req_size is 1.5", "a whole number of bytes"),
        ("api.http.max_req_size: 0", "line 1: api.http.max_req_size is 0", "of at least 1"),
        ("api.http.retries.total: true", "line 1: api.http.retries.total is True", "a number of attempts"),
        (
            "api.http.retries.total: 1\nsdk.x.total: 2\napi.http.retries.total: [1]",
            "api.http.retries.total is a list",
            "a number of attempts",
        ),
        ("api.verify_certificate: perhaps", "line 1: api.verify_certificate is 'perhaps'", "true"),
        ("api.api_server { host: x }", "line 1: api.api_server is a block", "text"),
        ("api.api_server: app.clear.ml", "line 1: api.api_server: 'app.clear.ml'", "http://localhost:8008"),
        ("api: 5", "line 1: api is a single value", "a block"),
        ("atrains.journal.overflow: spill", "line 1: atrains.journal.overflow is 'spill'", "drop_oldest, drop_new, block, raise"),
        (
            "sdk.development.worker.ping_period_sec: often",
            "line 1: sdk.development.worker.ping_period_sec is 'often'",
            "a number of seconds",
        ),
        ("api.credentials.secret_key: 0123", "line 1: api.credentials.secret_key is not text", "quotes"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(load: Load, write: Write, text: str, where: str, expected: str) -> None:
    write("trains.conf", text)
    with pytest.raises(ConfigurationError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith("~/trains.conf")
    assert where in message
    assert expected in message


def test_a_malformed_file_leaves_the_parser_of_other_libraries_as_it_was(load: Load, write: Write) -> None:
    from pyparsing import ParserElement

    before = ParserElement.DEFAULT_WHITE_CHARS
    write("trains.conf", "a == 2")
    with pytest.raises(ConfigurationError):
        load()
    assert before == ParserElement.DEFAULT_WHITE_CHARS


PIECES = ["api", "x.y", "{", "}", "[", "]", "=", ":", "+=", ",", "\n", " ", '"', '"""', "${x}", "${?x}", "#", "1", "5 s", "\\", "é"]


@given(pieces=st.lists(st.sampled_from(PIECES)))
@settings(deadline=None, max_examples=300)
def test_any_text_is_settings_or_an_error_that_names_the_file(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    folder = tmp_path_factory.mktemp("user")
    (folder / "trains.conf").write_text("".join(pieces), encoding="utf-8")
    message = ""
    try:
        load_settings({"HOME": str(folder)})
    except ConfigurationError as error:
        message = str(error)
    assert not message or message.startswith("~/trains.conf")

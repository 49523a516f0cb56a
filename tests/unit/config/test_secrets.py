"""Keys are never shown: not by a repr, not in a warning, not in an error about the very line that holds one."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._config import Credentials, Secret, load_settings
from atrains.errors import ConfigurationError

SECRETS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", min_size=12, max_size=40).map(lambda text: f"Q{text}")
BROKEN = st.sampled_from(
    [
        'api.credentials.secret_key "{0}"',
        'api.credentials.secret_key = "{0}',
        'api.credentials.secret_key = = "{0}"',
        'api {{ credentials {{ access_key: "x" secret_key: "{0}" ',
        'api {{ credentials {{ "{0}" }} }}',
        'api.credentials {{\n  access_key = x\n  "{0}"\n}}',
        'api.credentials.secret_key =\n  "{0}',
        'api.credentials.secret_key: """{0}\n{0}',
        'api.credentials.secret_key: ["{0}"]',
        'api.credentials {{ secret_key: {{ "{0}": "{0}" }} }}',
        'api.credentials: "{0}"',
        'api.credentials: "{0}"\napi.credentials.secret_key: 1',
        "api.credentials.secret_key: ${{{0}}}",
        'sdk.aws.s3 {{ key: "k", secret: "{0}", }} ]',
        '{{"secret_key": "{0}"',
        'api.api_server: "https://me:{0}@host:8008"',
        'api.api_server: "me:{0}@host"',
    ]
)


@given(template=BROKEN, secret=SECRETS)
@settings(deadline=None, max_examples=150)
def test_an_error_about_a_file_never_repeats_a_key(template: str, secret: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trains.conf").write_text(template.format(secret), encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            load_settings({"HOME": folder})
    assert secret not in "".join(traceback.format_exception(caught.value))


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage() + repr(record.args))


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    handler = _Lines()
    logging.getLogger("atrains").addHandler(handler)
    try:
        yield handler.lines
    finally:
        logging.getLogger("atrains").removeHandler(handler)


@given(keys=st.lists(SECRETS, min_size=7, max_size=7, unique=True))
@settings(deadline=None, max_examples=60)
def test_nothing_that_prints_settings_or_warns_shows_a_key(keys: list[str]) -> None:
    given = Credentials(api_host="http://given:8008", access_key=Secret(keys[0]), secret_key=Secret(keys[1]))
    with tempfile.TemporaryDirectory() as folder, _logged() as lines:
        (Path(folder) / "trains.conf").write_text(
            f'api.credentials {{ access_key: "{keys[2]}", secret_key: "{keys[3]}" }}', encoding="utf-8"
        )
        loaded = load_settings({"HOME": folder, "TRAINS_API_SECRET_KEY": keys[4], "CLEARML_AUTH_TOKEN": keys[5]}, given)
    assert loaded.api.secret_key == Secret(keys[4])
    assert len(lines) == 1
    shown = [repr(loaded), str(loaded), repr(loaded.api), repr(given), str(given), f"{loaded.api.secret_key}", str(loaded.api.access_key)]
    shown += [str(loaded.api._asdict()), *lines]
    assert not [key for key in keys for text in shown if key in text]


def test_secrets_compare_by_content() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1

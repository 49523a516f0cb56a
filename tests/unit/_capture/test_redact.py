"""What is taken for a secret, and what is not: a program that runs elsewhere needs everything else as it was."""

from __future__ import annotations

import random
import string
import time

import pytest

from atrains._capture.redact import Redactor, is_secret_name

TOKEN = "ghp_" + "a1B2c3D4e5" * 4


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('password = "hunter2"', 'password = "***"'),
        ("+    db_password='hunter2',\n", "+    db_password='***',\n"),
        ('connect(user="me", password="it\'s \\" long")', 'connect(user="me", password="***")'),
        ('{"api_key": "k-1", "size": 3}', '{"api_key": "***", "size": 3}'),
        ('os.environ["AWS_SECRET_ACCESS_KEY"] = "abc"', 'os.environ["AWS_SECRET_ACCESS_KEY"] = "***"'),
        ('secret: str = "x1"', 'secret: str = "***"'),
        ("clientSecret='x1'", "clientSecret='***'"),
        ('auth_token = "0123456789abcdef0"', 'auth_token = "***"'),
        (f"call({TOKEN!r})", "call('***')"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("sk-proj-abcdefghijklmnopqrstuvwx", "***"),
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        (f"https://{'t0ken' * 5}@host/x", "https://***@host/x"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n+MIIEowIBAAKCAQEAabcdef0123\n+abcdef0123456789abcdef==\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\n+***\n+***\n-----END RSA PRIVATE KEY-----",
        ),
    ],
)
def test_secrets(text: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert redactor.count >= 1


@pytest.mark.parametrize(
    "text",
    [
        'pad_token = "[PAD]"',
        'tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased-whole-word")',
        "password = getpass()",
        "password = args.password",
        'password = os.environ["PASSWORD"]',
        'api_key_variable = "OPENAI_API_KEY"',
        'password = ""',
        'password = "***"',
        'secret = "${SECRET}"',
        "max_tokens=4096",
        "git@github.com:team/project.git",
        "ssh://git@github.com/team/project.git",
        'if key == "password": pass',
        "git hash 0123456789abcdef0123456789abcdef01234567",
        "task-sk-learn-classification-of-many-things",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert Redactor().text(text) == text


def test_values_of_settings_and_variables_are_found_anywhere() -> None:
    redactor = Redactor(["s3cret-value", "short", "s3cret-value-longer", "true"])
    assert redactor.text("a s3cret-value-longer b s3cret-value short true") == "a *** b *** short true"


def test_files_of_settings_need_no_quotes() -> None:
    text = "+PASSWORD=hunter2\n+SIZE=3\n+token: abc # why\n+export API_KEY=$OTHER\n"
    assert Redactor().text(text, file="deploy/.env") == "+PASSWORD=***\n+SIZE=3\n+token: *** # why\n+export API_KEY=$OTHER\n"
    assert Redactor().text(text, file="train.py") == text


@pytest.mark.parametrize(
    ("arguments", "redacted"),
    [
        (["--password", "x", "--size", "3"], ["--password", "***", "--size", "3"]),
        (["--api-key=x", "--lr=1"], ["--api-key=***", "--lr=1"]),
        (["--token", "--size"], ["--token", "--size"]),
        (["password=x", "tokens=3"], ["password=***", "tokens=3"]),
        ([f"--url=https://me:hunter2@host/{TOKEN}"], ["--url=https://me:***@host/***"]),
    ],
)
def test_arguments(arguments: list[str], redacted: list[str]) -> None:
    assert Redactor().arguments(arguments) == redacted


def test_names() -> None:
    assert all(map(is_secret_name, ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "TRAINS_API_SECRET_KEY", "MY_PASS"]))
    assert not any(map(is_secret_name, ["PWD", "OLDPWD", "HOME", "TOKENIZERS_PARALLELISM", "SECRETARY", "MONKEY", "MAX_TOKENS"]))


@pytest.mark.parametrize("alphabet", [string.ascii_letters, "-._", "password", "ab\n", " '\"=:\\", "eyJ."])
def test_it_takes_little_time_whatever_the_text(alphabet: str) -> None:
    """Text that is made to be slow: half a megabyte is looked through in the background, in seconds at the worst."""
    text = "".join(random.Random(1).choices(alphabet, k=500_000))
    begun = time.perf_counter()
    Redactor(["a-secret-value"]).text(text)
    assert time.perf_counter() - begun < 10

"""Planted secrets reach no record, whatever stands around them; and what is left of a patch is one that applies."""

from __future__ import annotations

import string
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from atrains._capture.patches import FileChange, addition, file_changes, fitting
from atrains._capture.redact import Redactor, without_credentials
from atrains._capture.script import _redacted

LETTERS = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits


def chars(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


# A secret, and the text around it: `@` is where it stands.
passwords = chars(LETTERS + "!_.+-~", 7, 24).map(lambda text: f"Q{text}7")
keys = st.one_of(
    chars(UPPER, 16).map(lambda text: f"AKIA{text}"),
    chars(LETTERS, 36).map(lambda text: f"ghp_{text}"),
    chars(LETTERS + "-_", 20).map(lambda text: f"glpat-{text}"),
    chars(LETTERS, 34).map(lambda text: f"hf_{text}"),
    chars(LETTERS, 30).map(lambda text: f"sk-{text}"),
    st.tuples(chars(LETTERS + "-_", 20, 60), chars(LETTERS + "-_", 20, 60), chars(LETTERS + "-_", 20, 40)).map(
        lambda parts: f"eyJ{parts[0]}.eyJ{parts[1]}.{parts[2]}"
    ),
)
names = st.sampled_from(
    [
        *("password", "PASSWORD", "db_password", "passwd", "secret", "client_secret", "clientSecret", "api_key", "API_KEY", "apiKey"),
        *("access_key", "secret_key", "aws_secret_access_key", "api-key", "private_key", "auth_key", "connection_string", "account_key"),
    ]
)
FRAMES = [
    "{name} = '@'",
    '{name}="@"',
    'call(1, {name}="@", size=3)',
    '{{"{name}": "@", "size": 3}}',
    'os.environ["{name}"] = "@"',
    'value = os.environ.get("{name}", "@")',
    'run(["tool", "--{name}", "@"])',
    'parser.add_argument("--{name}", type=str, default="@")',
    'os.system("export {name}=@; tool")',
    'text = "host=there {name}=@ port=3"',
    'url = "https://there/x?size=3&{name}=@"',
    'url = "postgresql://me:@@there/x"',
    'headers = {{"Authorization": "Bearer @"}}',
    'headers = {{"Authorization": f"Basic @"}}',
    '   "    {name} = \\"@\\"\\n",',
    "{name}: str = '@'  # why",
    "<{name}>@</{name}>",
]
BARE_FRAMES = ["{name}=@", "{name}: @", "export {name}=@", "{name} = @  # why", "ENV {name}=@", '"{name}" = @']
lines = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\x85\u2028\u2029"), max_size=40)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FRAMES), names, passwords, st.lists(lines, max_size=3), st.lists(lines, max_size=3))
def test_what_a_name_says_is_secret(frame: str, name: str, secret: str, before: list[str], after: list[str]) -> None:
    text = "\n".join([*before, frame.format(name=name).replace("@", secret, 1), *after])
    redacted = Redactor().text(text)
    assert secret not in redacted, redacted
    assert redacted.split("\n")[: len(before)] == before or secret not in redacted
    assert redacted.count("\n") == text.count("\n")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(BARE_FRAMES), names, passwords, st.sampled_from([".env", "a/conf.yaml", "x.ini", "Dockerfile", "run.sh", "notes.md"])
)
def test_settings_need_no_quotes(frame: str, name: str, secret: str, file: str) -> None:
    assert secret not in Redactor().text("+size: 3\n+" + frame.format(name=name).replace("@", secret) + "\n", file=file)


@settings(max_examples=150, deadline=None)
@given(keys, st.sampled_from(["call('@')", "# @", "@", "x=@;", "(@)", "https://@@there/x", "a @ b"]))
def test_keys_of_services(key: str, frame: str) -> None:
    assert key not in Redactor().text(frame.replace("@", key, 1))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(chars(LETTERS + "+/", 64), min_size=2, max_size=12),
    chars(LETTERS + "+/", 20, 60),
    st.sampled_from(["@", "+@", "+    @", ' "@\\n"']),
    st.sampled_from(["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", ""]),
    st.sampled_from(["whole", "begun", "ended"]),
)
def test_private_keys(rows: list[str], last: str, frame: str, kind: str, part: str) -> None:
    body = [*rows, last]
    block = [f"-----BEGIN {kind}PRIVATE KEY-----", *body, f"-----END {kind}PRIVATE KEY-----"]
    if '"' in frame:
        part = "whole"
    block = {"whole": block, "begun": block[:-1], "ended": block[1:]}[part]
    redacted = Redactor().text("first\n" + "\n".join(frame.replace("@", line) for line in block) + "\nlast line of it\n")
    assert [line for line in body if line in redacted] == []
    assert redacted.startswith("first\n")
    assert redacted.endswith("\nlast line of it\n")


@settings(max_examples=200, deadline=None)
@given(names, passwords, st.sampled_from(["two", "equal", "variable", "json", "header", "url", "nested", "inside"]))
def test_arguments_of_the_command_line(name: str, secret: str, form: str) -> None:
    given_as = {
        "two": [f"--{name}", secret],
        "equal": [f"--{name}={secret}"],
        "variable": [f"{name}={secret}"],
        "json": [f'{{"{name}": "{secret}", "size": 3}}'],
        "header": ["-H", f"Authorization: Bearer {secret}"],
        "url": [f"--url=https://me:{secret.replace('/', '')}@there/x"],
        "nested": ["-e", f"--env={name}={secret}"],
        "inside": [f"sh -c 'tool --{name} {secret}'"],
    }[form]
    redacted = Redactor().arguments(["--size", "3", *given_as, "end"])
    assert not any(secret in argument for argument in redacted), redacted
    assert (redacted[:2], redacted[-1], len(redacted)) == (["--size", "3"], "end", len(given_as) + 3)


@settings(max_examples=100, deadline=None)
@given(
    chars(LETTERS, 3, 10),
    passwords | chars(LETTERS + "/#?:", 8, 20).map(lambda text: f"Q{text}x") | chars(LETTERS + "@:", 8).map(lambda text: f"Q{text}x"),
    st.sampled_from(["https", "http", "git+https"]),
)
def test_credentials_leave_urls(user: str, password: str, scheme: str) -> None:
    clean = without_credentials(f"{scheme}://{user}:{password}@example.com/team/x.git")
    assert clean == f"{scheme}://example.com/team/x.git"


@settings(max_examples=25, deadline=None, phases=[Phase.generate])  # each runs git six times: made smaller is not worth it
@given(st.data())
def test_a_patch_stays_one_that_applies(data: st.DataObject) -> None:
    """Secrets in new lines are replaced in place; a file in whose other lines there is one is left out, and the rest applies."""
    secret = data.draw(passwords)
    planted = st.sampled_from([frame.format(name="password").replace("@", secret, 1) for frame in FRAMES])
    plain = st.sampled_from(
        ["", "value = 1", "def f():", "    return 2", "-----", "diff --git a/x b/x", "+++ b/x", "GIT binary patch", "\x0cpage"]
    )
    rows = st.lists(st.one_of(plain, plain, planted), min_size=1, max_size=12)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def git(*arguments: str) -> bytes:
            identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false")
            return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True).stdout

        git("init", "--quiet")
        for file in ("one.py", "two.py", "three.py"):
            (folder / file).write_text("\n".join(data.draw(rows)) + "\n")
        git("add", "--all")
        git("commit", "--quiet", "--no-verify", "-m", "c")
        for file in ("one.py", "two.py"):
            (folder / file).write_text("\n".join(data.draw(rows)) + data.draw(st.sampled_from(["", "\n"])))
        changes = [*file_changes(git("diff", "--binary", "HEAD")), addition("new one.py", "\n".join(data.draw(rows)))]
        git("checkout", "--quiet", "--", ".")
        redacted: list[FileChange] = [_redacted(change, Redactor()) for change in changes]
        text, left_out = fitting(redacted, 500_000)
        assert secret not in text
        assert not any(secret in change.text for change in redacted)
        if text:
            (folder / "patch").write_text(text, newline="")
            git("apply", "--check", "patch")
        for change in changes:
            others = [line for line in change.text.split("\n") if line[:1] != "+"]
            assert (change.name in left_out) == any(secret in line for line in others)


@pytest.mark.parametrize("form", ["standalone", "patch"])
def test_text_that_mentions_a_binary_patch(form: str) -> None:
    """Only what is one is left as it is."""
    text = "note = '''\nGIT binary patch\n'''\npassword = 'hunter2'\n"
    redacted = Redactor().text(text) if form == "standalone" else _redacted(addition("x.py", text), Redactor()).text
    assert "hunter2" not in redacted
    binary = FileChange("x", "diff --git a/x b/x\nGIT binary patch\nliteral 40\nzcghp_" + "a1B2c3D4e5" * 4 + "\n", is_exact=True)
    assert _redacted(binary, Redactor()) is binary

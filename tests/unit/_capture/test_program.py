"""What is decided of a program without running it: differences that fit, launchers, cells, requirements, URLs, commands that hang."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from atrains._capture import entry, notebooks, patches
from atrains._capture.commands import Command, CommandError
from atrains._capture.imports import names_in
from atrains._capture.redact import without_credentials
from atrains._capture.requirements import Environment, forced_lines, imported_files, lines_of, requirements_text

CHANGE = b"diff --git a/%b b/%b\nindex 1..2 100644\n--- a/%b\n+++ b/%b\n@@ -1 +1 @@\n-old\n+%b\n"


def change(name: bytes, text: bytes = b"new") -> bytes:
    return CHANGE % (name, name, name, name, text)


def test_a_difference_falls_into_the_patches_of_its_files() -> None:
    remarks = b"Submodule lib contains untracked content\n"
    diff = remarks + change(b"a.py") + remarks + b"* Unmerged path b.py\n" + change(b"b c.py", b"Submodule of a line")
    changes = patches.file_changes(diff)
    assert [each.name for each in changes] == ["a.py", "b c.py"]
    assert "".join(each.text for each in changes).encode() == change(b"a.py") + change(b"b c.py", b"Submodule of a line")
    assert patches.file_changes(remarks) == []
    assert patches.file_changes(b"") == []


def test_what_fits_is_kept_whole() -> None:
    changes = patches.file_changes(change(b"a") + change(b"big", b"x" * 1000) + change(b"latin", b"\xe4") + change(b"z"))
    text, left_out = patches.fitting(changes, 600)
    assert left_out == ("big", "latin")
    assert text.encode().startswith(change(b"a") + change(b"z"))
    assert text.splitlines()[-1].startswith("# 2 more changed files")
    assert patches.fitting(changes[1:2], 600) == ("", ("big",))
    assert patches.fitting(changes[:1], 600) == (changes[0].text, ())


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:hunter2@example.com:8443/x.git", "https://example.com:8443/x.git"),
        ("https://token@example.com/x.git", "https://example.com/x.git"),
        ("https://example.com/x?private_token=abc", "https://example.com/x"),
        ("ssh://git:hunter2@example.com/x", "ssh://git@example.com/x"),
        ("git@example.com:team/x.git", "git@example.com:team/x.git"),
        ("/srv/git/x.git", "/srv/git/x.git"),
    ],
)
def test_urls_lose_their_credentials(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (
            ["python", "/venv/bin/torchrun", "--nproc_per_node=2", "train.py", "--lr", "1"],
            "torch.distributed.run --nproc_per_node=2 train.py --lr 1",
        ),
        (["python", "-m", "torch.distributed.run", "train.py"], "torch.distributed.run train.py"),
        (["python", "-u", "-m", "torch.distributed.launch", "train.py"], "torch.distributed.launch train.py"),
        (["python", "/venv/bin/accelerate", "launch", "train.py"], "accelerate.commands.accelerate_cli launch train.py"),
        (["bash", "-c", "torchrun train.py"], None),
        (["python", "train.py"], None),
        ([], None),
    ],
)
def test_launchers(command: list[str], found: str | None) -> None:
    assert entry.parse_launcher(command) == (None if found is None else found.split())


def test_cells_become_python() -> None:
    cells = {
        "value = 1": "value = 1",
        "%load_ext thing\nx = 1": "# %load_ext thing\nx = 1",
        "if x:\n    !ls": "if x:\n    pass  # !ls",
        "%%bash\necho": "# %%bash\n# echo",
        "get_ipython().run_line_magic('a', 'b')": "# get_ipython().run_line_magic('a', 'b')",
        "print?": "# print?",
        "x = 7 % 2": "x = 7 % 2",
    }
    assert {cell: notebooks.as_python(cell) for cell in cells} == cells


def test_imports_are_found_wherever_they_stand() -> None:
    text = "import os, numpy as np, a.b\nfrom x.y import z\ndef f():\n    import late\n# import no\nfrom . import own\nimportant = 1\n"
    assert names_in(text) == {"numpy", "a", "x", "late"}


def installed(folder: Path, name: str, version: str, files: list[str], direct: str = "") -> None:
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
    if direct:
        (metadata / "direct_url.json").write_text(direct)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")


def test_packages_by_what_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, by the list of files, by a part of a shared folder, from a repository, in place, and by the text."""
    site = tmp_path / "site"
    installed(site, "simple-one", "1.0", ["simple_one/__init__.py"])
    installed(site, "py-other", "2.0", ["other_name/__init__.py"])
    installed(site, "shared-a", "3.0", ["shared/a/__init__.py"])
    installed(site, "shared-b", "3.1", ["shared/b/__init__.py"])
    versioned = '{"url": "https://me:pw@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'
    installed(site, "from-git", "4.0", ["from_git.py"], versioned)
    in_place = tmp_path / "in_place"
    installed(site, "in-place", "5.0", [], f'{{"url": "{in_place.as_uri()}", "dir_info": {{"editable": true}}}}')
    (in_place / "in_place_one").mkdir(parents=True)
    (in_place / "in_place_one" / "__init__.py").write_text("")
    installed(site, "late", "6.0", ["late/__init__.py"])
    installed(site, "setuptools", "7.0", ["setuptools/__init__.py"])
    installed(site, "unused", "8.0", ["unused/__init__.py"])
    monkeypatch.setattr(sys, "path", [str(in_place), str(site), *sys.path])
    before = set(sys.modules)
    for name in ("simple_one", "other_name", "shared.a", "from_git", "in_place_one", "setuptools"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        __import__(name)
    try:
        environment = Environment.current()
        packages, local = lines_of(environment, {"late"}, None, time.monotonic() + 5)
        ours = [line for line in requirements_text(packages).splitlines() if line not in _real(environment, site)]
        assert ours[2:] == [
            "from-git @ git+https://host/x.git@abc",
            f"-e {in_place.as_uri()}",
            "late == 6.0",
            "py-other == 2.0",
            "shared-a == 3.0",
            "simple-one == 1.0",
        ]
        assert "in-place" not in local
        packages, local = lines_of(environment, (), tmp_path, time.monotonic() + 5)
        assert local == ["in-place"]
        assert "# Local: in-place" in requirements_text(packages, local).splitlines()
        inside, _ = imported_files([str(site)])
        assert (str(site), "shared/a/__init__.py") in inside
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_what_is_imported_for_atrains_alone_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the program imports it, or something else that the program uses does."""
    site = tmp_path / "site"
    requirements = {
        "atrains": ["client-of-ours >= 3", "shared-by-both", "used-by-all; python_version > '3'", 'for-an-extra; extra == "s3"'],
        "client-of-ours": ["below.ours (>=1)"],
        "other": ["Shared_By_Both"],
    }
    names = ["atrains", "client-of-ours", "below-ours", "shared-by-both", "used-by-all", "for-an-extra", "other"]
    for name in names:
        installed(site, name, "1.0", [f"{name.replace('-', '_')}_/__init__.py"])
        with next(site.glob(f"{name.replace('-', '_')}-*.dist-info/METADATA")).open("a") as metadata:
            metadata.writelines(f"Requires-Dist: {one}\n" for one in requirements.get(name, ()))
            metadata.write("\nWhat it is about.\nRequires-Dist: nothing\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    modules = [f"{name.replace('-', '_')}_" for name in names]
    for module in modules:
        __import__(module)
    try:
        environment = Environment.current()
        found = {}
        for asked in ({"atrains_", "used_by_all_"}, ()):
            packages, _ = lines_of(environment, asked, None, time.monotonic() + 5)
            found[bool(asked)] = {one.name for one in packages if one.name in names}
    finally:
        for module in modules:
            del sys.modules[module]
    assert found[True] == {"atrains", "other", "shared-by-both", "used-by-all", "for-an-extra"}
    assert found[False] == set(names), "of a program whose text is not known"


def test_packages_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the system, with a name unlike its module's, of one file, compiled, from a folder of a repository, half installed, spoilt."""
    site = tmp_path / "site"
    installed(site, "Pillow-like", "1.0", ["PILLIKE/__init__.py", "PILLIKE/Image.py"])
    (site / "Pillow_like-1.0.dist-info" / "RECORD").unlink()
    (site / "Pillow_like-1.0.dist-info").rename(site / "Pillow_like-1.0.egg-info")
    (site / "Pillow_like-1.0.egg-info" / "METADATA").rename(site / "Pillow_like-1.0.egg-info" / "PKG-INFO")
    (site / "Pillow_like-1.0.egg-info" / "top_level.txt").write_text("PILLIKE\n")
    versioned = '{"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "lib"}'
    installed(site, "below", "2.0", ["below.py"], versioned)
    installed(site, "half", "3.0", ["half.py"])
    (site / "half-3.0.dist-info" / "METADATA").unlink()
    installed(site, "spoilt", "4.0", ["spoilt.py"], "null")
    installed(site, "cut", "5.0", ["cut.py"], '{"url": ')
    installed(site, "compiled-one", "6.0", ["_compiled.cpython-311-x86_64-linux-gnu.so"])
    installed(site, "no-version", "7.0", ["no_version.py"])
    (site / "no_version-7.0.dist-info" / "METADATA").write_text("Name: no-version\n")
    (site / "no_version-7.0.dist-info").rename(site / "no_version.dist-info")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    for name in ("PILLIKE.Image", "below", "half", "spoilt", "cut", "no_version"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delitem(sys.modules, name.partition(".")[0], raising=False)
        __import__(name)
    compiled = type(sys)("_compiled")
    compiled.__file__ = str(site / "_compiled.cpython-311-x86_64-linux-gnu.so")
    monkeypatch.setitem(sys.modules, "_compiled", compiled)
    environment = Environment.current()
    packages, _ = lines_of(environment, (), None, time.monotonic() + 5)
    ours = [line for line in requirements_text(packages).splitlines() if line not in _real(environment, site)]
    for name in ("PILLIKE.Image", "PILLIKE", "below", "half", "spoilt", "cut", "no_version"):
        sys.modules.pop(name, None)
    assert ours[2:] == [
        "below @ git+https://host/x.git@abc#subdirectory=lib",
        "compiled-one == 6.0",
        "cut == 5.0",
        "half == 3.0",
        "no-version",
        "Pillow-like == 1.0",
        "spoilt == 4.0",
    ]


def _real(environment: Environment, site: Path) -> set[str]:
    """What is really installed here."""
    return {
        environment.describe(one).line for folder, names in environment.folders.items() if folder != str(site) for one in names.values()
    }


def test_wishes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed(site, "Known_One", "1.5", [])
    environment = Environment({str(site): {"known-one": site / "Known_One-1.5.dist-info"}})
    (tmp_path / "wanted.txt").write_text("# no\nfirst>=1 # why\n\n-r more.txt\nsecond @ https://host/x.zip\n")
    wishes = {
        "known.one": None,
        "unknown": None,
        "exact": "2",
        "least": ">=3",
        "known-one[extra]": None,
        str(tmp_path / "wanted.txt"): None,
    }
    assert set(forced_lines(wishes, environment).values()) == {
        "known-one[extra] == 1.5",
        "unknown",
        "exact == 2",
        "least >=3",
        "first>=1",
        "-r more.txt",
        "second @ https://host/x.zip",
    }


@pytest.mark.skipif(os.name == "nt", reason="sh")
@pytest.mark.parametrize(
    ("script", "says"),
    [("sleep 30 & sleep 30", "took longer than 0.5 seconds"), ("echo why >&2; exit 3", "failed (why)"), ("exit 3", "failed (status 3)")],
)
def test_commands_end(script: str, says: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(CommandError) as caught:
        Command(["sh", "-c", script], folder=tmp_path, environ=os.environ).output(seconds=0.5, most=100)
    assert says in str(caught.value)
    assert time.monotonic() - begun < 5


@pytest.mark.skipif(os.name == "nt", reason="sh")
def test_commands_that_say_too_much_are_cut(tmp_path: Path) -> None:
    output = Command(["sh", "-c", "while :; do echo 0123456789; done"], folder=tmp_path, environ=os.environ).output(seconds=5, most=1000)
    assert (len(output.data), output.is_whole) == (1000, False)
    assert Command(["echo", "x"], folder=tmp_path, environ=os.environ).output(seconds=5, most=1000) == (b"x\n", True)

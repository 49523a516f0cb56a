"""Environments of conda: which packages it has installed, and what it calls them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from atrains._capture.conda import conda_lines
from atrains._capture.requirements import Installed


def package(prefix: Path, name: str, version: str, build: str, *files: str) -> None:
    """As conda keeps it, with what matters of it."""
    record = {
        "build": build,
        "channel": "https://conda.anaconda.org/conda-forge/linux-64",
        "files": list(files),
        "fn": f"{name}-{version}-{build}.conda",
        "name": name,
        "paths_data": {"paths": [{"_path": file, "path_type": "hardlink"} for file in files], "paths_version": 1},
        "version": version,
    }
    (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
    (prefix / "conda-meta" / f"{name}-{version}-{build}.json").write_text(json.dumps(record, indent=2))


def pip(name: str, version: str, url: str = "", folder: Path | None = None) -> Installed:
    return Installed(name, version, url, folder)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    site = "lib/python3.11/site-packages"
    package(tmp_path, "numpy", "1.26.4", "py311h64a7726_0", f"{site}/numpy/__init__.py", f"{site}/numpy-1.26.4.dist-info/METADATA")
    package(tmp_path, "pytorch", "2.3.0", "py3.11_cuda12.1_0", f"{site}/torch-2.3.0-py3.11.egg-info/PKG-INFO")
    package(tmp_path, "pyyaml", "6.0.1", "py311h459d7ec_1", f"{site}/PyYAML-6.0.1.dist-info/RECORD")
    package(tmp_path, "python-dateutil", "2.9.0", "pyhd8ed1ab_0", f"{site}/python_dateutil-2.9.0.post0.dist-info/METADATA")
    package(tmp_path, "unused", "1.0", "0", f"{site}/unused-1.0.dist-info/METADATA")
    package(tmp_path, "libblas", "3.9.0", "22_linux64_openblas", "lib/libblas.so.3")
    (tmp_path / "conda-meta" / "history").write_text("==> 2024-05-01 10:00:00 <==\n")
    (tmp_path / "conda-meta" / "odd.json").write_text("\xff")
    return tmp_path


def test_the_lines_name_packages_as_conda_does(prefix: Path) -> None:
    used = [
        pip("numpy", "1.26.4"),
        pip("torch", "2.3.0"),
        pip("PyYAML", "6.0.1"),
        pip("python-dateutil", "2.9.0.post0"),
        pip("of-pip", "1"),
    ]
    assert conda_lines(prefix, used, time.monotonic() + 5) == [
        "numpy == 1.26.4",
        "python-dateutil == 2.9.0",
        "pytorch == 2.3.0",
        "pyyaml == 6.0.1",
    ]


def test_what_pip_has_put_over_a_package_of_conda_is_not_from_conda(prefix: Path, tmp_path: Path) -> None:
    used = [pip("numpy", "2.0.0"), pip("torch", "2.3.0", url="git+https://host/torch@abc"), pip("PyYAML", "6.0.1", folder=tmp_path)]
    assert conda_lines(prefix, used, time.monotonic() + 5) == []


def test_other_environments_have_none(tmp_path: Path) -> None:
    assert conda_lines(tmp_path, [pip("numpy", "1.26.4")], time.monotonic() + 5) == []


def test_it_takes_no_longer_than_it_may(prefix: Path) -> None:
    with pytest.raises(TimeoutError, match="conda"):
        conda_lines(prefix, [pip("not-there", "1")], time.monotonic() - 1)

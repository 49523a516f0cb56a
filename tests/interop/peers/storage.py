"""Files by URL, as a program of any of the packages handles them: `python storage.py PACKAGE put|get ROOT FOLDER OUTCOME`."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from urllib.parse import quote

package, what, root, given, outcome = sys.argv[1:]
manager = importlib.import_module(package).StorageManager
folder = Path(given)
names = ["plain.bin", "with space.txt", "ünïcode 日本.csv", "deep/er/file.txt"]
found: dict[str, object] = {}
for name in names:
    if what == "put":
        manager.upload_file(str(folder / name), f"{root}/{name}")  # the official packages take the path as it is here, and quoted below
    else:
        copy = Path(manager.get_local_copy(f"{root}/{quote(name)}"))
        found[name] = hashlib.sha256(copy.read_bytes()).hexdigest()
if what == "put":
    manager.upload_file(str(folder / "set.zip"), f"{root}/set.zip")
    if hasattr(manager, "upload_folder"):
        manager.upload_folder(str(folder / "deep"), f"{root}/folder")
else:
    unpacked = Path(manager.get_local_copy(f"{root}/set.zip", name="set"))  # trains takes none without a name
    found["set.zip"] = sorted(path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file())
    if hasattr(manager, "exists_file"):
        found["exists"] = [manager.exists_file(f"{root}/plain.bin"), manager.exists_file(f"{root}/missing")]
        found["size"] = manager.get_file_size_bytes(f"{root}/plain.bin")
        target = Path(manager.download_file(f"{root}/plain.bin", str(folder / f"fetched by {package}")))
        found["path"] = target.relative_to(folder / f"fetched by {package}").as_posix()
found["server"] = manager.get_files_server()
Path(outcome).write_text(json.dumps(found), encoding="utf-8")

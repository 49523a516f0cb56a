"""Draws the pictures of docs/reporting.md anew: `python tests/docs/draw_gallery.py [NAME ...]`.

Each snippet is run against an `atrains serve` of its own, and the page that this shows of its task is taken by Chromium. Needs chromium,
Pillow, and what the snippets import.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops  # noqa: TID253  # a program for those who write the pages

from atrains.testing import RunningServer

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "reporting.md"
LARGEST: Final = 40 << 10
"""Bytes of one picture at most: they are in the repository for ever."""
WIDTH: Final = 620
HEADER: Final = 96
"""Pixels above the first plot of a page with plots."""
SECTIONS: Final = {
    "report_scalar": "Scalars", "report_scalars": "Scalars", "report_single_value": "Single values", "report_text": "Console",
    "report_image": "Images", "report_media": "Images", "console": "Console", "machine": "Scalars",
}  # fmt: skip
"""Which part of a task's page is shown; any other picture is its plot."""


def snippets() -> Iterator[tuple[str, str]]:
    """The names of the pictures of the page, and the program before each."""
    text = PAGE.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```\n\n!\[[^\]]+\]\(pictures/(\w+)\.png\)$", text, re.MULTILINE | re.DOTALL):
        yield found[2], found[1].rpartition("```python\n")[2]


def run(code: str, server: RunningServer, folder: Path) -> str:
    """Run a snippet and return the id of its task."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    script = folder / "snippet.py"
    script.write_text(code, encoding="utf-8")
    environment = {**kept, **server.environment, "HOME": str(folder), "MPLBACKEND": "Agg"}
    done = subprocess.run([sys.executable, str(script)], env=environment, cwd=folder, capture_output=True, text=True, check=True)
    found = re.search(r"created task (\w+)", done.stderr)
    assert found is not None, done.stderr
    return found[1]


def part_of(server: RunningServer, task: str, heading: str, folder: Path) -> str:
    """A page with one section of a task's page, and its style; returns its address."""
    keys = b64encode(f"{server.access_key}:{server.secret_key}".encode()).decode()
    request = urllib.request.Request(f"{server.url}/projects/*/tasks/{task}", headers={"Authorization": f"Basic {keys}"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    style = re.search(r"<style>.*?</style>", text, re.DOTALL)
    section = re.search(rf"<section><h2>{heading}</h2>(.*?)</section>", text, re.DOTALL)
    assert style is not None
    assert section is not None, f"the page of {task} has no {heading}"
    shown = folder / "part.html"
    shown.write_text(f'<!doctype html><meta charset="utf-8"><base href="{server.url}/">{style[0]}{section[1]}', encoding="utf-8")
    return shown.as_uri()


def photograph(address: str, folder: Path, top: int) -> Image.Image:
    """The page as Chromium shows it, without what is above `top` and the empty space around."""
    target = folder / "page.png"
    command = [
        shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader", "--hide-scrollbars", "--virtual-time-budget=20000", f"--window-size={WIDTH},700",
        f"--user-data-dir={folder / 'browser'}", f"--screenshot={target}", address,
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    with Image.open(target) as image:
        page = image.convert("RGB").crop((0, top, image.width, image.height))
    ground = Image.new("RGB", page.size, page.getpixel((2, page.height - 2)))
    left, upper, right, lower = ImageChops.difference(page, ground).getbbox() or (0, 0, *page.size)
    return page.crop((max(0, left - 8), max(0, upper - 8), min(page.width, right + 8), min(page.height, lower + 8)))


def small(image: Image.Image) -> bytes:
    """The picture as PNG, with as many colours as its size allows."""
    is_photograph = image.getcolors(1 << 12) is None  # which palettes spoil
    for drawn in (*([image] if is_photograph else []), *(image.quantize(colours) for colours in (256, 128, 64, 32, 16))):
        buffer = io.BytesIO()
        drawn.save(buffer, "PNG", optimize=True)
        if buffer.tell() < LARGEST:
            break
    return buffer.getvalue()


def main(names: list[str]) -> None:
    """Draw all pictures, or those of some names."""
    for name, code in snippets():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            server = RunningServer(folder / "home")
            server.start()
            try:
                task = run(code, server, folder)
                heading = SECTIONS.get(name)
                address = part_of(server, task, heading, folder) if heading else f"{server.url}/projects/*/tasks/{task}/plots"
                picture = small(photograph(address, folder, 0 if heading else HEADER))
            finally:
                server.stop()
        path = PAGE.parent / "pictures" / f"{name}.png"
        path.write_bytes(picture)
        print(f"{path}: {len(picture):,} bytes")  # for who runs it  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])

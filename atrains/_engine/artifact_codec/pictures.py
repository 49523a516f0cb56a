"""Pictures: images of PIL, figures of matplotlib as images, figures of plotly as JSON."""

from __future__ import annotations

import json
import mimetypes
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from atrains._engine.artifact_codec.forms import Form, Options, choose, new_file, with_suffix, writing
from atrains._wire.artifacts import IMAGE, JSON
from atrains.errors import MissingPackageError, StorageError, UnsupportedTypeError

PLOTLY: Final = "application/vnd.plotly.v1+json"
"""To who does not know it, a dictionary."""
_FIGURES: Final = {
    ".png": "image/png", ".svg": "image/svg+xml", ".pdf": "application/pdf", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
}  # fmt: skip


def encode_pil(name: str, image: Any, folder: Path, options: Options) -> Form:
    """An image, without loss unless the extension says otherwise."""
    suffix = options.extension or ".png"
    suffix = suffix if suffix.startswith(".") else f".{suffix}"
    path = new_file(folder, suffix)
    with writing(name, path):
        try:
            image.save(path)
        except (ValueError, KeyError) as error:
            what = f"artifact {name!r}: PIL writes no {suffix!r}"
            raise UnsupportedTypeError(f"{what} ({error}); give another extension_name") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise UnsupportedTypeError(
                f"artifact {name!r}: an image of mode {image.mode} cannot be stored as {suffix} ({error}); convert it, or give "
                "extension_name='.tiff'"
            ) from error
    kind = mimetypes.guess_type(f"x{suffix}")[0] or "application/octet-stream"
    return Form(path, True, with_suffix(name, suffix), IMAGE, kind, f"{type(image).__name__} {image.mode} {image.width}x{image.height}")


def encode_matplotlib(name: str, figure: Any, folder: Path, options: Options) -> Form:
    """A figure as it looks."""
    suffix, content_type = choose(name, "a figure of matplotlib", options.extension, _FIGURES, ".png")
    path = new_file(folder, suffix)
    with writing(name, path):
        figure.savefig(path, format=suffix[1:])
    width, height = figure.get_size_inches()
    shown = f"figure of {len(figure.axes)} axes, {width:g}x{height:g} inches"
    return Form(path, True, with_suffix(name, suffix), IMAGE, content_type, shown)


def encode_plotly(name: str, figure: Any, folder: Path, options: Options) -> Form:
    """A figure as what it is made of."""
    suffix, _ = choose(name, "a figure of plotly", options.extension, {".json": PLOTLY}, ".json")
    path = new_file(folder, suffix)
    text: str = figure.to_json()
    with writing(name, path):
        path.write_text(text, encoding="utf-8")
    return Form(path, True, with_suffix(name, suffix), JSON, PLOTLY, text)


def decode_image(name: str, path: Path, content_type: str | None) -> Any:
    """The image, read whole; the file itself where it is none that PIL reads, such as SVG."""
    if content_type in {"image/svg+xml", "application/pdf"}:
        return path
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingPackageError(f"artifact {name!r} is an image: pip install pillow; get_local_copy() gives its file") from error
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise StorageError(f"artifact {name!r}: {path} does not hold an image ({error})") from error


def decode_plotly(path: Path) -> Any:
    """The figure; the dictionary that it is made of where plotly is not installed."""
    content = json.loads(path.read_bytes())
    try:
        graph_objects: Any = import_module("plotly.graph_objects")
    except ImportError:
        return content
    return graph_objects.Figure(content, skip_invalid=True)

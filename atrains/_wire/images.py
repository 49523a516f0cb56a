"""Images as events: how what users pass becomes the bytes of a picture, and which events still have their file. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from atrains.errors import MissingPackageError, ValidationError

Event = TypeVar("Event", bound=Mapping[str, Any])

URL_LIMIT: Final = 32_766
"""Bytes of a URL or a key. Server: a longer one fails the whole request; so `data:` URLs are no URLs of images."""
_CHANNELS: Final = frozenset({1, 3, 4})


def with_own_file(events: Iterable[Event]) -> list[Event]:
    """Return the events whose URL was not used again for a later iteration: file names are recycled, and the others show another picture.

    Server: `events.debug_images` leaves the same ones out.
    """
    listed = list(events)
    latest: dict[str, int] = {}
    for event in listed:
        latest[event["url"]] = max(latest.get(event["url"], event["iter"]), event["iter"])
    return [event for event in listed if latest[event["url"]] == event["iter"]]


def encode_image(image: Any, form: str, quality: int) -> bytes:
    """Return an image of PIL, an array, a tensor or nested lists as the bytes of a picture file; nothing of the user's is changed.

    Arrays have one, two or three dimensions, with 1, 3 or 4 channels, which stand last (or first, as torch has them). Floating-point values
    that are all at most 1 are taken for 0 to 1, other values for 0 to 255; what lies outside is cut, NaN is 0.

    Args:
        image: The image.
        form: A format that PIL writes, such as `JPEG` or `PNG`.
        quality: From 1 to 100, for formats that have one.

    Raises:
        ValidationError: it is no image.
        MissingPackageError: Pillow is not installed, or numpy, which arrays need.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError("images are encoded by Pillow: pip install pillow") from error
    if isinstance(image, Image.Image):
        drawn: Any = image if image.mode in {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"} else _drawn(image)
    else:
        drawn = _drawn(image)
    if drawn.mode not in ({"L", "RGB"} if form in {"JPEG", "JPG"} else {"L", "RGB", "RGBA", "1", "P"}):
        drawn = drawn.convert("L" if drawn.mode in {"1", "LA"} else "RGB")
    buffer = io.BytesIO()
    drawn.save(buffer, format="JPEG" if form == "JPG" else form, quality=quality)
    return buffer.getvalue()


def _drawn(values: Any) -> Any:
    """Numbers as an image of PIL."""
    from PIL import Image

    try:
        import numpy as np
    except ImportError as error:
        raise MissingPackageError("images from arrays and lists need numpy: pip install numpy, or give an image of PIL") from error
    if hasattr(values, "detach"):  # a tensor that a gradient is computed for, or on another device
        values = values.detach().cpu()
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or not array.size or array.ndim > 3:
        raise ValidationError(f"an image is an array of numbers in two or three dimensions, not {array.dtype} of shape {array.shape}")
    if array.ndim < 3:
        array = np.atleast_3d(array)
    if array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        array = np.moveaxis(array, 0, -1)
    if array.shape[2] not in _CHANNELS:
        raise ValidationError(f"an image has 1, 3 or 4 channels, not {array.shape[2]} (the array's shape is {array.shape})")
    pixels = _as_bytes(array, np)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _as_bytes(array: Any, np: Any) -> Any:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        array = np.nan_to_num(array.astype(np.float32), nan=0.0)
        array = np.rint(array * 255 if array.max() <= 1 else array)
    return np.clip(array, 0, 255).astype(np.uint8)

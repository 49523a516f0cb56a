"""What users pass as images becomes a picture file, and which images still have their file."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np  # noqa: TID253  # what users pass
import pytest
from PIL import Image  # noqa: TID253

from atrains._wire.images import encode_image, with_own_file
from atrains.errors import MissingPackageError, ValidationError


def decoded(image: Any, form: str = "PNG") -> tuple[str, Any]:
    with Image.open(io.BytesIO(encode_image(image, form, 90))) as found:
        assert found.format == ("JPEG" if form == "JPG" else form)
        return found.mode, np.asarray(found).tolist()


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[0.0, 0.5, 2.0]]), [[0, 0, 2]]),
        (np.array([[np.nan, -1.0, 0.25]], np.float16), [[0, 0, 64]]),
        (np.array([[-5, 7, 70_000]]), [[0, 7, 255]]),
        (np.array([[7, 300]], np.uint16), [[7, 255]]),
        (np.array([[True, False]]), [[255, 0]]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (np.array([9, 8, 7], np.uint8), [[9, 8, 7]]),
        (np.array([[[1], [2]]], np.uint8), [[1, 2]]),
        (np.array([[1, 2], [3, 4]], np.uint8)[:, ::-1], [[2, 1], [4, 3]]),
    ],
)
def test_values_become_grey(image: Any, pixels: Any) -> None:
    assert decoded(image) == ("L", pixels)


def test_channels_stand_last_or_first() -> None:
    last = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert decoded(last) == ("RGB", last.tolist())
    assert decoded(np.moveaxis(np.arange(60, dtype=np.uint8).reshape(4, 5, 3), -1, 0)) == (
        "RGB", np.arange(60, dtype=np.uint8).reshape(4, 5, 3).tolist()
    )  # fmt: skip


class Tensor:
    """What torch has: a gradient, another device, and an array in the end."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.said: list[str] = []

    def detach(self) -> Tensor:
        self.said.append("detach")
        return self

    def cpu(self) -> Tensor:
        self.said.append("cpu")
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


def test_tensors() -> None:
    tensor = Tensor(np.full((1, 2, 2), 0.5, np.float32))
    assert decoded(tensor) == ("L", [[128, 128], [128, 128]])
    assert tensor.said == ["detach", "cpu"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "JPG"])
def test_every_mode_of_pil_can_be_encoded(mode: str, form: str) -> None:
    image = Image.new(mode, (4, 3))
    before = image.tobytes()
    found, _ = decoded(image, form)
    assert found in ({"L", "RGB"} if form != "PNG" else {"L", "RGB", "RGBA", "1", "P"})
    assert image.tobytes() == before


@pytest.mark.parametrize(
    "image", ["text", None, [], np.zeros((2, 2, 2)), np.zeros((2, 2, 5)), np.zeros((1, 2, 3, 4)), np.array([["a"]]), np.zeros((0, 3))]
)
def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(ValidationError, match="an image"):
        encode_image(image, "PNG", 90)


@pytest.mark.parametrize("missing", ["PIL", "numpy"])
def test_a_package_that_is_missing_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingPackageError, match="pip install"):
        encode_image([[1]], "PNG", 90)


def test_an_image_whose_file_was_used_again_is_left_out() -> None:
    events = [{"url": url, "iter": number} for number, url in enumerate("abcab")]
    assert with_own_file(events) == [events[2], events[3], events[4]]
    assert with_own_file([{"url": "a", "iter": 1}, {"url": "a", "iter": 1}]) == [{"url": "a", "iter": 1}] * 2

"""An object to a file: finds the kind of the object, and has its own file encode it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from atrains._engine.artifact_codec import objects, paths, values
from atrains._engine.artifact_codec.forms import EncodedArtifact, Form, KnownFailure, Options
from atrains._storage.copying import hash_file
from atrains._wire.artifacts import check_name, cut_preview, human_size, metadata_pairs
from atrains.errors import StorageError, UnsupportedTypeError, ValidationError

_CLASSES: Final = (
    ("numpy", "ndarray", "arrays"),
    ("pandas", "DataFrame", "tables"),
    ("polars", "DataFrame", "tables"),
    ("PIL.Image", "Image", "pictures"),
    ("plotly.basedatatypes", "BaseFigure", "pictures"),
    ("matplotlib.figure", "Figure", "pictures"),
)
"""Classes of other packages, and the file here that knows them. An object of one means that its package was imported."""


def encode(
    name: str, obj: object, *, folder: Path, metadata: Mapping[str, object] | None = None, options: Options | None = None
) -> EncodedArtifact | KnownFailure:
    """Turn an object into a file to be stored.

    Args:
        name: The artifact's name.
        obj: What KINDS lists. A str that names a file, a folder or a wildcard stands for it.
        folder: Where a file is made when the object is none.
        metadata: The user's pairs, where there are no other options.
        options: How it is to be stored.

    Returns:
        The file and what there is to record about it; a `KnownFailure` for a path that is not there or cannot be read.

    Raises:
        UnsupportedTypeError: if the object is of a kind that cannot be stored.
        MissingPackageError: if a package is missing that the form needs.
        ValidationError: if the name or the metadata cannot be recorded.
        StorageError: if `folder` cannot be written.
    """
    options = options or Options(metadata=metadata)
    check_name(name)
    pairs = metadata_pairs(options.metadata)
    _check(name, options)
    form = _form_of(name, obj, folder, options)
    if isinstance(form, KnownFailure):
        return form
    try:
        digest, size = _look_at(form)
    except StorageError as error:
        if form.temporary:
            raise
        return KnownFailure(f"artifact {name!r}: {error}")
    preview = form.preview if options.preview is None or isinstance(options.preview, bool) else str(options.preview)
    if preview is None and form.path is not None:
        preview = f"{form.file_name} - {human_size(size)}"
    return EncodedArtifact(
        path=form.path,
        temporary=form.temporary,
        file_name=form.file_name,
        type=form.type,
        content_type=form.content_type,
        preview=None if options.preview is False or preview is None else cut_preview(preview),
        hash=digest,
        size=size,
        metadata=pairs,
        sources=form.sources,
    )


def _check(name: str, options: Options) -> None:
    """Refuse options of a wrong kind."""
    extension = options.extension
    if extension is not None and (not isinstance(extension, str) or set(extension) & set("/\\\0")):
        raise ValidationError(f"artifact {name!r}: extension_name is the end of a file's name such as '.json', not {extension!r}")
    if options.serialize is not None and not callable(options.serialize):
        raise ValidationError(f"artifact {name!r}: serialization_function is a function of the object, not {options.serialize!r}")


def _form_of(name: str, obj: object, folder: Path, options: Options) -> Form | KnownFailure:
    if options.serialize is not None:
        return objects.encode_by(options.serialize, name, obj, folder, options)
    if isinstance(obj, str | os.PathLike | list | tuple):
        if isinstance(obj, str) and paths.is_remote(obj):
            return paths.encode_remote(obj)
        if paths.is_path(obj, folder):
            return paths.encode_path(name, obj, folder)
        if isinstance(obj, list | tuple) and paths.are_paths(obj, folder):
            return paths.encode_paths(name, obj, folder)
    if (encoder := _encoder_of(obj)) is not None:
        form: Form = encoder(name, obj, folder, options)
        return form
    try:
        return values.encode_value(name, obj, folder, options)
    except UnsupportedTypeError:
        if not options.auto_pickle:
            raise
    return objects.encode_pickle(name, obj, folder)


def _encoder_of(obj: object) -> Any:
    """What encodes an object of another package; None for all others."""
    from importlib import import_module

    for module, kind, file in _CLASSES:
        found = sys.modules.get(module)
        known = getattr(found, kind, None)
        if isinstance(known, type) and isinstance(obj, known):
            return getattr(import_module(f"atrains._engine.artifact_codec.{file}"), f"encode_{module.partition('.')[0].lower()}")
    return None


def _look_at(form: Form) -> tuple[str | None, int]:
    """Checksum and size of the file; a file of the user's is read once only, while it is stored."""
    if form.path is None:
        return None, 0
    if form.temporary:
        return hash_file(form.path)
    try:
        with form.path.open("rb"):
            return None, form.path.stat().st_size
    except OSError as error:
        raise StorageError(f"{form.path} cannot be read ({error.strerror or error}); check that it is there and readable") from error

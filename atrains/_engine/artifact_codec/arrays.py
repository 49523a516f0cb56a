"""Arrays of numpy, as compressed npz under the artifact's name."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

from atrains._engine.artifact_codec.forms import Form, Options, choose, new_file, open_gzip, with_suffix, writing
from atrains._engine.artifact_codec.objects import refused_pickle
from atrains._wire.artifacts import NUMPY
from atrains.errors import MissingPackageError, StorageError, UnsupportedTypeError

_FORMS: Final = {".npz": "application/numpy", ".csv.gz": "text/csv"}
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of the member: equal arrays give equal files."""


def encode_numpy(name: str, array: Any, folder: Path, options: Options) -> Form:
    """An array; one of Python objects could only be pickled."""
    import numpy as np

    if array.dtype.hasobject:
        raise UnsupportedTypeError(
            f"artifact {name!r} is an array of Python objects, which would have to be pickled; make it one of numbers or text"
        )
    if np.ma.is_masked(array):
        raise UnsupportedTypeError(
            f"artifact {name!r} is an array with masked values, and no file of an array keeps the mask; upload array.filled() or array.mask"
        )
    suffix, content_type = choose(name, "an array", options.extension, _FORMS, ".npz")
    if suffix == ".csv.gz" and (array.ndim not in {1, 2} or array.dtype.kind not in "biuf"):  # what is read back as it was
        raise UnsupportedTypeError(
            f"artifact {name!r}: an array of {array.ndim} dimensions and type {array.dtype} cannot be stored as {suffix}, which takes "
            "one or two of numbers; leave extension_name out"
        )
    path = new_file(folder, suffix)
    with writing(name, path):
        if suffix == ".npz":
            # Not `numpy.savez_compressed`, where the name is an argument: an artifact may be called `file`.
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        else:
            with open_gzip(path) as file:
                np.savetxt(file, array, delimiter=",")
    shown = np.array2string(array, threshold=1000, separator=", ")
    return Form(path, True, with_suffix(name, suffix), NUMPY, content_type, f"array of {array.dtype}, shape {array.shape}\n{shown}")


def decode_numpy(name: str, path: Path, content_type: str | None, *, allow_pickle: bool) -> Any:
    """The array in a file; one of Python objects, as other clients store them, if the caller allows for what its pickle may run."""
    try:
        import numpy as np
    except ImportError as error:
        raise MissingPackageError(f"artifact {name!r} is an array of numpy: pip install numpy; get_local_copy() gives its file") from error
    if content_type == "text/csv":
        return np.genfromtxt(path, delimiter=",")
    with np.load(path, allow_pickle=allow_pickle) as arrays:
        names = arrays.files
        if name in names or len(names) == 1:
            try:
                return arrays[name if name in names else names[0]]
            except ValueError as error:
                if allow_pickle or "allow_pickle" not in str(error):
                    raise
                raise refused_pickle(name) from error
    raise StorageError(f"artifact {name!r}: {path} holds the arrays {', '.join(names) or 'none'}; load it with numpy.load")

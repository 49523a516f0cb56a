"""Objects to artifact files and back: which type an object has, its file, preview and checksum. Blocking work, for worker threads.

One file a kind of object; a package that not everybody has is imported where an object of it was met. Where the files go is `_storage`'s,
the record of an artifact is `_wire`'s; zip files are in `archives`.
"""

from __future__ import annotations

from atrains._engine.artifact_codec.decoding import decode, unpack
from atrains._engine.artifact_codec.encoding import encode
from atrains._engine.artifact_codec.forms import EncodedArtifact, KnownFailure, Options

__all__ = ["EncodedArtifact", "KnownFailure", "Options", "decode", "encode", "unpack"]

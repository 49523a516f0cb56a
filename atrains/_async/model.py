"""AsyncModel: a model as it is stored, whoever made it."""

from __future__ import annotations

from atrains._async.model_base import ModelPart


class AsyncModel(ModelPart):
    """A stored model, by its id: what it is, and its weights.

    Args:
        model_id: Its id. Nothing is asked of the home until something is read.

    Example:
        >>> for model in (await task.get_models())["output"]:
        ...     print(await model.name, await model.get_local_copy())
    """

    def __init__(self, model_id: str) -> None:
        self._set_up(model_id)

    async def get_local_copy(
        self,
        extract_archive: bool = True,
        raise_on_error: bool = False,  # documented
        force_download: bool = False,
    ) -> str | None:
        """The weights on this machine: the file, or of an archive the folder that it was unpacked to.

        Args:
            extract_archive: Unpack it where its name ends in `.zip`, `.tar.gz` or `.tgz`.
            raise_on_error: Raise where they cannot be fetched.
            force_download: Fetch them although they are in the cache.

        Returns:
            An absolute path; do not change what is there. None where they cannot be fetched; one line says why.

        Raises:
            StorageError: with `raise_on_error`, they cannot be fetched.
            NotFoundError: there is no such model.
        """
        return await self._fetch_weights(raise_on_error=raise_on_error, force=force_download, extract=extract_archive)

"""Every error that atrains raises.

One tree, so that `except AtrainsError` is enough; builtins as second bases, so that old code keeps working.

    AtrainsError
    +-- UsageError (ValueError)             a call that does not fit the state of the process: wrong order, wrong combination
    |   +-- TaskClosedError                 a report or an edit after `close`
    |   +-- SyncInAsyncError (RuntimeError) a blocking call where it would stop the event loop that serves it
    +-- ConfigurationError (ValueError)     a setting, a file or a variable that cannot be used
    +-- ValidationError (ValueError)        an argument that no home would accept
    |   +-- UnsupportedTypeError (TypeError)  an object of a kind that cannot be connected or stored
    +-- MissingPackageError (ImportError)   a package that this call needs, and atrains does not, is not installed
    +-- NotFoundError (ValueError, LookupError)  a task, a project or an artifact that is not there
    +-- TaskStatusError (ValueError)        a change of status that is not allowed
    +-- TaskFailedError (RuntimeError)      `wait_for_status` met a status of `raise_on_status`
    +-- WaitTimeoutError (TimeoutError)     something did not happen within the given time
    +-- HomeError (OSError)                 the local home cannot be opened, read or written
    |   +-- JournalFullError                a report for which there was no room, where the settings say that it raises
    +-- StorageError (OSError)              a file could not be stored or fetched
    +-- TransportError (ConnectionError)    the server cannot be reached, or its answer cannot be understood
        +-- AccessError (ConfigurationError)  the server is there and does not let us in: keys, TLS, or no API server at this address
        +-- ServerError                     the server answered with an error: code, sub-code and its own words

A message says what happened, to what, and what to do next.
"""

from __future__ import annotations


class AtrainsError(Exception):
    """The root of every error raised by atrains."""


class UsageError(AtrainsError, ValueError):
    """A call that does not fit the state of the process or of the task."""


class TaskClosedError(UsageError):
    """A report or an edit on a task that was closed."""


class SyncInAsyncError(UsageError, RuntimeError):
    """A blocking call on the thread whose event loop would have to serve it."""


class ConfigurationError(AtrainsError, ValueError):
    """A setting that cannot be used; names the file or variable, the key and the value."""


class ValidationError(AtrainsError, ValueError):
    """An argument that no home would accept."""


class UnsupportedTypeError(ValidationError, TypeError):
    """An object of a kind that cannot be connected or stored; lists the kinds that can."""


class MissingPackageError(AtrainsError, ImportError):
    """A package that a call needs is not installed; names it, and how to install it."""


class NotFoundError(AtrainsError, ValueError, LookupError):
    """A task, project, queue or artifact that is not there."""


class TaskStatusError(AtrainsError, ValueError):
    """A change of status that is not allowed; names both statuses and the ones reachable."""


class TaskFailedError(AtrainsError, RuntimeError):
    """`wait_for_status` met one of the statuses in `raise_on_status`."""


class WaitTimeoutError(AtrainsError, TimeoutError):
    """Something did not happen within the given time; says how far it got."""


class HomeError(AtrainsError, OSError):
    """The local home cannot be opened, read or written."""


class JournalFullError(HomeError):
    """A report was not taken because the journal is full, and `journal.overflow` is `raise`; says how much of what is used."""


class StorageError(AtrainsError, OSError):
    """A file could not be stored or fetched."""


class TransportError(AtrainsError, ConnectionError):
    """The server cannot be reached, or its answer cannot be understood.

    Attributes:
        outcome_unknown: Whether the server may have done what it was asked for, although no answer says so.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class AccessError(TransportError, ConfigurationError):
    """The server is there and does not let us in; names the setting to change, and what it came from, never a key."""


class ServerError(TransportError):
    """The server answered with an error.

    Attributes:
        code: The result code, equal to the HTTP status.
        subcode: The sub-code that tells errors of one code apart (0 when there is none).
        endpoint: The endpoint that was called, as `service.action`.
    """

    def __init__(self, message: str, *, code: int, subcode: int, endpoint: str, outcome_unknown: bool = False) -> None:
        super().__init__(message, outcome_unknown=outcome_unknown)
        self.code = code
        self.subcode = subcode
        self.endpoint = endpoint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_server_error, (str(self), self.code, self.subcode, self.endpoint, self.outcome_unknown)


def _rebuild_server_error(message: str, code: int, subcode: int, endpoint: str, outcome_unknown: bool = False) -> ServerError:
    return ServerError(message, code=code, subcode=subcode, endpoint=endpoint, outcome_unknown=outcome_unknown)

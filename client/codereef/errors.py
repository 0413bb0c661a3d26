# SPDX-License-Identifier: Apache-2.0
"""The one error tree of CodeReef.

A `CrError` carries data; the sentence a person reads is made from it at the edge (`codereef.cli.edge`).

    CrError                 1   anything that has no class of its own
    ├── UsageError          2   the command line or a request is wrong
    │   └── OptionError     2   a program cannot have an option or a scenario, here or with this model
    ├── MetadataError       3   a component, lock or result does not follow its schema
    ├── NotFoundError       4   no component, file, result or capability of that name
    ├── ResolutionError     5   no graph satisfies the requirements
    ├── LockError           6   the lock differs from what is asked for or from this machine
    ├── InstallError        7   an install step failed
    │   ├── DownloadError   7   a file could not be fetched
    │   └── IntegrityError  8   bytes differ from their checksum or size, or an archive is unsafe
    ├── RunError            9   a program failed, crashed, hung or ran out of memory
    ├── NetworkError       10   a portal or repository could not be reached
    ├── StorageError       11   the disk is full, read-only or held by another process
    ├── NeedsYouError      12   what only a person can do: accept terms, or bring data that may not be fetched
    ├── ClaimError         13   a model does not do what it claims
    └── CancelledError    130   the user interrupted

The exit codes are a promise: `docs/exit-codes.md` lists them and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping


class CrError(Exception):
    """An error for people.

    Args:
        message: what was tried, on what, and what was found; one or two sentences.
        hint: what to do next, or an empty string.
        context: facts for `--json`, such as the file, the JSON path or the command (strings and numbers).
    """

    exit_code: int = 1
    code: str = "error"

    def __init__(self, message: str, *, hint: str = "", context: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context: dict[str, object] = dict(context or {})

    def as_dict(self) -> dict[str, object]:
        """Return the error as data, the way `--json` prints it."""
        return {
            "error": {
                "code": self.code,
                "exit_code": self.exit_code,
                "message": self.message,
                "hint": self.hint,
                "context": self.context,
            }
        }


class UsageError(CrError):
    """The command line or a request is wrong."""

    exit_code = 2
    code = "usage"


class OptionError(UsageError):
    """A program cannot have an option or a scenario, here or with this model; nothing was measured with it."""

    code = "option"


class MetadataError(CrError):
    """A component, lock or result does not follow its schema."""

    exit_code = 3
    code = "metadata"


class NotFoundError(CrError):
    """No component, file, result or capability of that name."""

    exit_code = 4
    code = "not-found"


class ResolutionError(CrError):
    """No graph satisfies the requirements."""

    exit_code = 5
    code = "resolution"


class LockError(CrError):
    """The lock differs from what is asked for or from this machine."""

    exit_code = 6
    code = "lock"


class InstallError(CrError):
    """An install step failed; nothing of it was registered."""

    exit_code = 7
    code = "install"


class DownloadError(InstallError):
    """A file could not be fetched from any of its addresses."""

    code = "download"


class IntegrityError(InstallError):
    """Bytes differ from their checksum or size, or an archive is unsafe."""

    exit_code = 8
    code = "integrity"


class RunError(CrError):
    """A program failed, crashed, hung or ran out of memory."""

    exit_code = 9
    code = "run"


class NetworkError(CrError):
    """A portal or repository could not be reached."""

    exit_code = 10
    code = "network"


class StorageError(CrError):
    """The disk is full, read-only or held by another process."""

    exit_code = 11
    code = "storage"


class NeedsYouError(CrError):
    """What only a person can do is not done: terms to accept, or data to bring that may not be fetched."""

    exit_code = 12
    code = "needs-you"


class ClaimError(CrError):
    """A measurement ended well, and a model does not do what it claims of itself."""

    exit_code = 13
    code = "claim"


class CancelledError(CrError):
    """The user interrupted."""

    exit_code = 130
    code = "cancelled"

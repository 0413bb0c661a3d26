# SPDX-License-Identifier: Apache-2.0
"""Everything a reader or writer of locks needs, by one name: the data, its JSON and its file."""

from codereef.lock.document import from_document, node_document, to_document
from codereef.lock.file import lock_from, read_lock, write_lock
from codereef.lock.types import (
    FILE_NAME,
    FORMAT,
    READABLE,
    Lock,
    LockedConfiguration,
    LockedDistribution,
    LockedEnvironment,
    LockedFile,
    LockedNode,
    environment_key,
)

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "READABLE",
    "Lock",
    "LockedConfiguration",
    "LockedDistribution",
    "LockedEnvironment",
    "LockedFile",
    "LockedNode",
    "environment_key",
    "from_document",
    "lock_from",
    "node_document",
    "read_lock",
    "to_document",
    "write_lock",
]

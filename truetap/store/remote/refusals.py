"""What a store says when it refuses, in words: an `OSError` of the fitting kind, whatever the store's own error was."""

from __future__ import annotations

import errno

__all__ = ["in_words"]

_CREDENTIALS = (
    "Expected: credentials that may do this, from the environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE) or by storage_options={'key': …, 'secret': …}"
)
_ENDPOINT = (
    "Expected: a store that answers; check the network and the endpoint (for S3 FSSPEC_S3_ENDPOINT_URL, or "
    "storage_options={'endpoint_url': …})"
)
_UNREACHABLE = (ConnectionError, TimeoutError)
_UNREACHABLE_NAMES = ("Connection", "Connect", "Timeout", "HTTPClient", "IncompleteRead", "DNS")
_CREDENTIAL_NAMES = ("Credential", "Token", "Profile")


def in_words(error: Exception, path: str) -> OSError:
    """The error of a store as one that says what to do.

    Args:
        error: What its library raised.
        path: What it was about.
    """
    kind, said = type(error).__name__, str(error).strip().rstrip(".") or type(error).__name__
    if isinstance(error, FileExistsError):
        return FileExistsError(errno.EEXIST, said, path)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"the store has none ({said})", path)
    if isinstance(error, PermissionError) or any(part in kind for part in _CREDENTIAL_NAMES):
        return PermissionError(errno.EACCES, f"the store refuses: {said}. {_CREDENTIALS}", path)
    if isinstance(error, _UNREACHABLE) or any(part in kind for part in _UNREACHABLE_NAMES):
        return ConnectionError(errno.ECONNREFUSED, f"the store can't be reached: {said}. {_ENDPOINT}", path)
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    return OSError(number, f"the store says {kind}: {said}", path)

"""The S3 server for the tests of this folder."""

from .served import gate, server, store

__all__ = ["gate", "server", "store"]

"""Runs in object stores, by fsspec: read where they are, written by way of a folder of this machine."""

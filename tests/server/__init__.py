"""Tests of `truetap serve`."""

"""Tests of reports: what is gathered, and the page in a real browser."""

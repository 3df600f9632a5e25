"""`run.report("report.html")`: a run as one file that any browser opens, without a network.

`gather` reads the run into the frozen types of `content`, `document` writes these as JSON into our own page. Charts are
Vega-Lite specifications made in `charts`; the code that draws them comes out of the package vl-convert-python.
"""

from truetap.report.document import write_report

__all__ = ["write_report"]

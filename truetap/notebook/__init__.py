"""How things show themselves in a notebook.

`html` makes HTML of tables and findings, with every string escaped; `live` draws the curves of a running `fit`.
Nothing here needs IPython, and what shows itself looks well on light and on dark pages, without any script.
"""

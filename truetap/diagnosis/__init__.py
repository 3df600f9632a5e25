"""Telling what is wrong with a model, its data or its training: `tt.lint`, `run.diagnose`, `tt.Watch`.

One set of rules (`rules/`, a file each) reads one kind of evidence (`evidence`): of a whole run, or of the single
step that `lint` makes. Rules join what is static (`truetap.facts`), what is in the data, and what the real step
showed; a rule without its evidence is listed as not run. Cost: below a second for most runs. Nothing is imported here:
a run is diagnosed without Keras, which `linting` and `watch` need.
"""

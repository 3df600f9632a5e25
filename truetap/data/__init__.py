"""Data of any kind as batches that are drawn exactly as far as asked; `opening` finds the kind.

Nothing is imported here: `backends.tf_data` and `torch_data` use the contract in `source`, and
`opening` uses them.
"""

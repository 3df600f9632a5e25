"""What a recorded run says: its samples, the values of its layers and weights, SQL over its tables.

Reads through `truetap.store` and nothing else; executes nothing from a run. `truetap.run.Run` is the
face of it.
"""

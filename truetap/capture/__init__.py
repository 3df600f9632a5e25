"""What is taken out of the training step, and how.

A step runs inside `Watch`, which sees what Keras hands around; `Extras` makes tensors of it that
leave the step; `Rows` are made of them in the writer's thread.
"""

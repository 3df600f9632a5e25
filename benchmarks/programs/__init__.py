"""Programs with the mistakes people make with Keras, beside the same programs without them.

The rules were written beside `first`. `second` was written apart, put aside, and run once when they were done; then
they were mended on it. `third` was written apart after that, by authors who had read no rule, and put aside: what it
says is the figure.
"""

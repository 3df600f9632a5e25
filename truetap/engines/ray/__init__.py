"""`collect` on a Ray cluster: Ray Data reads, actors hold the model and write the run.

Needs `pip install 'truetap[ray]'`. Worth it where several machines or GPUs share the work; on one
machine without a GPU a single process is faster (benchmarks/distributed.py).
"""

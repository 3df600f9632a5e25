"""The bed of `benchmarks/diagnose.py`: broken programs, their repaired twins, and sound ones that look odd.

`seen` was read by those who wrote the rules, `aside` was not.
"""

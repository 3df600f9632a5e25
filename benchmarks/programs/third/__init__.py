"""Programs written apart, by authors who had read no rule, and put aside for the published figure."""

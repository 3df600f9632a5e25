"""The half of the bed that the rules may be tuned on: every cause of the taxonomy at least once."""

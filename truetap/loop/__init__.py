"""Steps of a loop that the user wrote, recorded as those of `fit` are."""

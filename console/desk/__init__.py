"""The desk: whether all is well, and if not, where to go."""

"""ФФОМС kinds that a ТФОМС serves: a citizen asks on ЕПГУ, the fund answers."""

"""The self-test: the bus on the user's own machine, in a scratch database, with everything around it breaking."""

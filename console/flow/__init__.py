"""The map of flows: who gives messages to whom, and how it stands now."""

"""The journal's search: what is indexed (rules, indexer) behind the intake, and how it is found (finding)."""

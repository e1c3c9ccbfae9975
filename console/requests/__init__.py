"""Requests sent by hand: a form made out of the kind's schema, and the answer when it comes."""

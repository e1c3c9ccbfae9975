"""СФР: we ask for a СНИЛС by a person's data and take the answer."""

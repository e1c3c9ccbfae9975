"""The way in and out: sign in, sign out."""

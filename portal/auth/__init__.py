"""Sign in, sign out, sessions, the account being worked in."""

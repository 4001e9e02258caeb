"""BCC Sync: a person's own address, whom they track through it, and from where they may post to it (B-01 to B-06)."""

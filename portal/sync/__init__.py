"""The sync: what changed in a mailbox, what the rules say of it, and the rows that follow."""

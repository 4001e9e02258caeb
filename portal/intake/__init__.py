"""The portal's own SMTP intake: answers that come back to a conversation, and reports on what was sent (S-01, G-22)."""

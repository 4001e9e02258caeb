"""An account's own mail server, spoken to by SMTP."""

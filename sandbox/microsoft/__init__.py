"""Microsoft's side: the identity platform and Graph mail."""

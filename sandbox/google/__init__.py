"""Google's side: OAuth and the Gmail API."""

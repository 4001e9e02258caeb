"""Google: consent (oauth), HTTP (client), JSON to types (parse), the Gmail adapter (mail)."""

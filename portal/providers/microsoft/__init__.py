"""Microsoft: consent (oauth), HTTP (client), many gets (fetching), JSON to types (parse), the Graph adapter (mail)."""

"""Who may do what: permissions by role, the decorator every route bears, the one lookup of objects."""

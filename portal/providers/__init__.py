"""Mail providers: client (HTTP and nothing else), parse (pure), mail (the glue), behind one protocol."""

"""Small parts that know nothing of the portal: clock, ids, envelope, HTML, CSV, HTTP."""

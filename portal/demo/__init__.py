"""The demo practice: people, contacts and mail, made through the same doors that people use. Refused in production."""

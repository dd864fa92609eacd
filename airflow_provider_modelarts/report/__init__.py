"""The report of a search: its page, and the plots on it."""

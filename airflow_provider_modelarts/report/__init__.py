"""Report of a search: a page with plots, and the trials as CSV and JSON."""

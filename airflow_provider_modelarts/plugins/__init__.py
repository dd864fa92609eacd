"""The UI plugin."""

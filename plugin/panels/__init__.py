"""The dock: one panel a step."""

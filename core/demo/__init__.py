"""The demo: a scene invented from nothing, and the whole job done on it."""

"""Data files that ship with Quadrat: icons, class presets, encoders."""

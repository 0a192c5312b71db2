"""The headless engine: everything that needs neither Qt nor QGIS."""

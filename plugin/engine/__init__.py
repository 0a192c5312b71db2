"""The engine seen from QGIS: another process that does the work, started, asked, stopped and started again."""

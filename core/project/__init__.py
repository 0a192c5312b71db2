"""The project file: one GeoPackage that holds tiles, classes, answers, rounds and predictions.

Only the standard library is imported here, because QGIS's own Python (3.9 and later) reads and writes projects too.
"""

"""The QGIS side of Quadrat: a dock, a map overlay and a labelling session. No third-party package, no torch.

- :mod:`.main` is what QGIS loads; it makes everything else once and takes it away again.
- :mod:`.job` is the project that is open, :mod:`.workflow` says what runs when, :mod:`.engine` runs it elsewhere.
- :mod:`.labeling` shows tiles on the map and takes answers; :mod:`.panels` are the steps in the dock.
"""

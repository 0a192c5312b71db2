"""Read by QGIS before its plugins (``PYQGIS_STARTUP``): a plugin that fails to load ends the run at once.

Otherwise QGIS would show a window and wait for a click that nobody makes.
"""

import os
import traceback

import qgis.utils


def _end(kind, error, trace, message, *_others, **_named):
    traceback.print_exception(kind, error, trace)
    os._exit(1)


qgis.utils.showException = _end

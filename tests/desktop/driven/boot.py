"""What QGIS runs at its start (``--code``): waits for the event loop, then hands over to the script that was named."""

import importlib
import json
import os
import sys

from qgis.PyQt.QtCore import QTimer


def _start():
    told = json.loads(os.environ["QUADRAT_DESKTOP"])
    sys.path.insert(0, told["folder"])
    conductor = importlib.import_module("conductor")
    conductor.perform(importlib.import_module(told["script"]).steps, told["options"])


QTimer.singleShot(0, _start)

"""What holds for all tests of the engine.

Threads that wait sleep, as in the program: spinning, the tests take ten times as long on a busy machine. Property tests
have no time limit for an example: how long one takes depends on what else the machine does.
"""

import os

from hypothesis import settings

# Before any test imports torch, when OpenMP looks at it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

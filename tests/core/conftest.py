"""Threads that wait sleep, as in the program: spinning, the tests take ten times as long on a busy machine."""

import os

# Before any test imports torch, when OpenMP looks at it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""The engine as a process beside QGIS: JSON-RPC 2.0, one message a line, over standard input and output.

The life of a worker: (1) :mod:`.channel` takes standard output for itself, so that nothing a library prints can end up
among the messages; (2) :mod:`.server` reads requests in a thread of its own and works on them, one after another, in
the main thread; (3) :mod:`.parameters` checks a request against the signature of its function in :mod:`.methods`, which
calls the same functions as the command line; (4) :mod:`.failures` turns whatever was raised into a sentence for the
analyst; (5) when standard input closes, what runs is stopped and the process ends.
"""

"""Runs the command line in child processes and kills them, without warning, at a given step of their work.

A step is a call of a function, Python's or C's, so that a kill can fall anywhere, and falls at the same place again
when it is repeated. The heavy libraries are imported once, and each command runs in a fork.

Reads JSON lines ``{"arguments": [...], "kill_at": N or null}`` and answers each with ``{"status": S, "steps": N}``:
the exit status (-9 if killed), and for a run to the end the number of its steps.
"""

import json
import os
import signal
import sys

import torch

import quadrat.core.answer_files
import quadrat.core.chips
import quadrat.core.cli
import quadrat.core.devices
import quadrat.core.encoders.statistics
import quadrat.core.export
import quadrat.core.rounds
import quadrat.core.simulation.conduct
import quadrat.core.tiling

# A fork must not inherit OpenMP's threads, which would be gone in it.
torch.set_num_threads(1)


class StepCounter:
    def __init__(self, kill_at: int | None) -> None:
        self.steps = 0
        self.kill_at = kill_at

    def __call__(self, frame: object, event: str, argument: object) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run_in_fork(arguments: list[str], kill_at: int | None) -> dict[str, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.chdir(sys.argv[1])  # here, because the folder is made anew between two runs
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        counter = StepCounter(kill_at)
        sys.setprofile(counter)
        status = 0
        try:
            status = quadrat.core.cli.app(arguments, standalone_mode=False) or 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
            status = getattr(error, "exit_code", 1)
        sys.setprofile(None)
        os.write(writer, str(counter.steps).encode())
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        steps = int(pipe.read() or 0)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "steps": steps}


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run_in_fork(request["arguments"], request["kill_at"])), flush=True)  # noqa: T201

"""A worker that speaks the protocol and misbehaves on request: what the real one never does when it is tested.

``write_stand_in(folder)`` puts it where ``python -m core worker`` finds it, in place of the real one.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = """
import json, os, signal, sys, time

HELLO = {"name": "quadrat", "version": "0", "protocol": 1, "pid": os.getpid()}

def say(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()

def progress(number, fraction):
    say(method="progress", params={"id": number, "fraction": fraction, "message": "on it"})

def refuse(number, kind, message):
    data = {"kind": kind, "hint": "Do this.", "details": "why"}
    say(id=number, error={"code": -32000, "message": message, "data": data})

for line in sys.stdin:
    request = json.loads(line)
    method, number, params = request["method"], request.get("id"), request["params"]
    if method == "hello":
        if "mute" in sys.argv:
            time.sleep(3600)
        if "stranger" in sys.argv:
            HELLO["protocol"] = 99
        if "broken" in sys.argv:
            sys.exit("No module named 'torch'")
        say(id=number, result=HELLO)
    elif method == "echo":
        progress(number, 0.5)
        say(method="log", params={"level": "warning", "message": "so so", "id": number})
        say(id=number, result=params)
    elif method == "work":  # until it is asked to stop
        print("last words", file=sys.stderr, flush=True)
        progress(number, 0.25)
    elif method == "cancel":
        refuse(params["id"], "cancelled", "Stopped as asked.")
    elif method == "refuse":
        refuse(number, params["kind"], "That is not possible.")
    elif method == "chatter":
        for text in ("hello?", "[1, 2]", '{"method": 3}', '{"id": []}', '{"id": 4711, "result": {}}'):
            print(text, flush=True)
        print("to the log é", file=sys.stderr, flush=True)
        say(method="log", params={"level": "info", "message": "nobody's"})
        say(id=number, result={})
    elif method == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        progress(number, 0.0)
        while True:
            time.sleep(1)
"""


def write_stand_in(folder: Path) -> Path:
    """Make ``folder`` a plugin folder with this worker in it, and return the script."""
    script = folder / "core" / "__main__.py"
    script.parent.mkdir(parents=True)
    script.write_text(SOURCE)
    return script

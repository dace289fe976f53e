"""What the drivers of three engines share.

A driver has ``open(path, width, height, dark, script)``, ``eval``, ``wait``, ``screenshot``,
``problems`` (console errors and exceptions) and ``requests`` (what the page asked for).
"""

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

NO_GPU = {"LIBGL_ALWAYS_SOFTWARE": "1", "DISPLAY": ":87"}


def program(*names, hint):
    """The first program that is here; the test is skipped where none is."""
    found = next((p for p in map(shutil.which, names) if p), None)
    if found is None:
        pytest.skip(f"no {names[0]} on this machine: apt-get install {hint}")
    return found


def until(condition, seconds, otherwise):
    """Ask again until the answer is true; ``otherwise`` is called when it never is."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            return otherwise()
        time.sleep(0.1)
    return answer


def display(cleanup):
    """A screen in memory, for browsers that draw WebGL only on one."""
    screen = program("Xvfb", hint="xvfb")
    started = subprocess.Popen([screen, NO_GPU["DISPLAY"], "-screen", "0", "1400x1000x24"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    cleanup(lambda: stop(started))
    socket = Path("/tmp/.X11-unix/X" + NO_GPU["DISPLAY"].lstrip(":"))
    until(socket.exists, 20, lambda: pytest.skip("Xvfb does not start here"))


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Socket:
    """Numbered calls over a websocket; what comes in between is kept as events."""

    def __init__(self, address):
        websocket = pytest.importorskip("tornado.websocket", reason="needs tornado (ipykernel)")
        self.loop, self.sent, self.events = asyncio.new_event_loop(), 0, []

        async def attach():
            return await websocket.websocket_connect(address, max_message_size=2**28)

        self.socket = self.loop.run_until_complete(attach())

    def call(self, method, **params):
        return self.loop.run_until_complete(self._call(method, params))

    async def _call(self, method, params):
        self.sent += 1
        number = self.sent
        text = json.dumps({"id": number, "method": method, "params": params})
        await self.socket.write_message(text)
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.read_message(), 60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def close(self):
        self.socket.close()
        self.loop.run_until_complete(asyncio.sleep(0.05))
        self.loop.close()

    def of(self, method):
        return [e["params"] for e in self.events if e.get("method") == method]


class Driver:
    """What the engines share."""

    narrowest = 390

    def wait(self, condition, seconds=60):
        def never():
            raise AssertionError(f"never: {condition}")

        until(lambda: self.eval(condition), seconds, never)

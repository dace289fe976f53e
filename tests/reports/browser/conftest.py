"""Headless Chromium over its debugging port; every test here is skipped where it is absent."""

import asyncio
import base64
import json
import shutil
import subprocess
import time

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--hide-scrollbars",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-allow-origins=*",
)  # fmt: skip


class Page:
    """One tab; records requests, console errors and exceptions."""

    def __init__(self, socket, loop):
        self.socket, self.loop, self.sent, self.events = socket, loop, 0, []

    def call(self, method, **params):
        return self.loop.run_until_complete(self._call(method, params))

    async def _call(self, method, params):
        self.sent += 1
        number = self.sent
        await self.socket.write_message(
            json.dumps({"id": number, "method": method, "params": params})
        )
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.read_message(), 60))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self.events.append(message)

    def open(self, path, *, width=1280, height=900, dark=False, script=True):
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.resize(width, height)
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def eval(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                          returnByValue=True)  # fmt: skip
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition, seconds=40):
        end = time.monotonic() + seconds
        while not self.eval(condition):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.1)

    def screenshot(self, path, *, full=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def problems(self):
        self.eval("1")
        found = [e for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        found += [e for e in self.events if e["method"] == "Runtime.consoleAPICalled"
                  and e["params"]["type"] == "error"]  # fmt: skip
        return found + [
            e
            for e in self.events
            if e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"
        ]

    @property
    def requests(self):
        self.eval("1")
        return [
            e["params"]["request"]["url"]
            for e in self.events
            if e["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A running browser; its debugging address."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    marker, end = profile / "DevToolsActivePort", time.monotonic() + 60
    while not marker.exists() or "\n" not in marker.read_text():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            pytest.skip("Chromium does not start here")
        time.sleep(0.1)
    yield marker.read_text().split("\n")[0]
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def page(chromium):
    """A fresh tab."""
    from urllib.request import Request, urlopen

    websocket = pytest.importorskip("tornado.websocket", reason="needs tornado (with ipykernel)")
    request = Request(f"http://127.0.0.1:{chromium}/json/new?about:blank", method="PUT")
    with urlopen(request) as answer:
        target = json.load(answer)
    loop = asyncio.new_event_loop()
    connect = websocket.websocket_connect

    async def attach():
        return await connect(target["webSocketDebuggerUrl"], max_message_size=2**28)

    socket = loop.run_until_complete(attach())
    yield Page(socket, loop)
    with urlopen(f"http://127.0.0.1:{chromium}/json/close/{target['id']}"):
        pass
    socket.close()
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()

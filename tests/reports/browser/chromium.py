"""Chromium by its DevTools."""

import base64
import json
import subprocess
from urllib.request import Request, urlopen

import pytest
from driving import Driver, Socket, program, stop, until

CHROMIUM = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--hide-scrollbars",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-allow-origins=*",
)  # fmt: skip


class Chromium(Driver):
    """Headless, with its own software WebGL."""

    def __init__(self, folder, cleanup):
        chosen = program("chromium", "chromium-browser", hint="chromium")
        command = [chosen, *CHROMIUM, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        cleanup(lambda: stop(process))
        marker = folder / "DevToolsActivePort"
        until(lambda: marker.exists() and "\n" in marker.read_text(), 60,
              lambda: pytest.skip("Chromium does not start here"))  # fmt: skip
        port = marker.read_text().split("\n")[0]
        ask = Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        with urlopen(ask) as answer:
            self.tab = Socket(json.load(answer)["webSocketDebuggerUrl"])
        cleanup(self.tab.close)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.tab.call(f"{domain}.enable")

    def open(self, path, *, width=1280, height=900, dark=False, script=True):
        call = self.tab.call
        call("Emulation.setScriptExecutionDisabled", value=not script)
        call("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        call("Emulation.setEmulatedMedia", features=[scheme])
        call("Page.navigate", url="about:blank")
        self.tab.events.clear()
        call("Page.navigate", url=path.resolve().as_uri())
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'")

    def eval(self, expression):
        found = self.tab.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                              returnByValue=True)  # fmt: skip
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.tab.call("Page.captureScreenshot")["data"]))

    @property
    def problems(self):
        self.eval("1")
        logged = [e for e in self.tab.of("Log.entryAdded") if e["entry"]["level"] == "error"]
        called = [e for e in self.tab.of("Runtime.consoleAPICalled") if e["type"] == "error"]
        return self.tab.of("Runtime.exceptionThrown") + called + logged

    @property
    def requests(self):
        self.eval("1")
        return [e["request"]["url"] for e in self.tab.of("Network.requestWillBeSent")]

"""Three engines behind one face: Chromium (DevTools), Firefox (WebDriver BiDi), WebKit (WebDriver).

A driver has ``open(path, width, height, dark, script)``, ``eval``, ``wait``, ``screenshot``,
``problems`` (console errors and exceptions) and ``requests`` (what the page asked for).
"""

import asyncio
import base64
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

NO_GPU = {"LIBGL_ALWAYS_SOFTWARE": "1", "DISPLAY": ":87"}
CHROMIUM = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--hide-scrollbars",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-allow-origins=*",
)  # fmt: skip
MINIBROWSER = (
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
)

# Keeps errors that come after loading.
HEAR = """(() => { window.heard = [];
 for (const kind of ['error', 'unhandledrejection'])
   addEventListener(kind, e => window.heard.push(String(e.message || e.reason)));
 const said = console.error;
 console.error = (...all) => { window.heard.push(all.join(' ')); said.apply(console, all); };
})()"""


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


def listening_proxy(cleanup):
    """A proxy that answers nothing and keeps what it was asked for, and its address."""
    asked = []

    class Keep(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(self.rfile.readline().decode("latin-1").split()[1])

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cleanup(server.server_close)
    cleanup(server.shutdown)
    return asked, f"127.0.0.1:{server.server_address[1]}"


class Driver:
    """What the engines share."""

    narrowest = 390

    def wait(self, condition, seconds=60):
        def never():
            raise AssertionError(f"never: {condition}")

        until(lambda: self.eval(condition), seconds, never)


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


class Firefox(Driver):
    """One process for each color scheme and for scripts off: preferences are read at its start."""

    def __init__(self, folder, cleanup):
        self.program = program("firefox-esr", "firefox", hint="firefox-esr")
        self.folder, self.cleanup, self.started = folder, cleanup, {}
        display(cleanup)

    def _start(self, dark, script):
        profile = self.folder / f"{dark}-{script}"
        profile.mkdir()
        preferences = {"layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
                       "javascript.enabled": script, "webgl.force-enabled": True}  # fmt: skip
        lines = [f'user_pref("{k}", {json.dumps(v)});\n' for k, v in preferences.items()]
        (profile / "user.js").write_text("".join(lines))
        said = profile / "said"
        with said.open("w") as log:
            process = subprocess.Popen(
                [self.program, "--no-remote", "--profile", profile, "--remote-debugging-port=0"],
                env=os.environ | NO_GPU, stdout=subprocess.DEVNULL, stderr=log)  # fmt: skip
        self.cleanup(lambda: stop(process))
        address = until(lambda: re.search(r"ws://[\w.:]+(?=\n)", said.read_text()), 60,
                        lambda: pytest.skip("Firefox does not start here"))  # fmt: skip
        tab = Socket(f"{address[0]}/session")
        self.cleanup(tab.close)
        tab.call("session.new", capabilities={})
        tab.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        return tab, tab.call("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, path, *, width=1280, height=900, dark=False, script=True):
        if (dark, script) not in self.started:
            self.started[dark, script] = self._start(dark, script)
        self.tab, self.context = self.started[dark, script]
        size = {"width": width, "height": height}
        self.tab.call("browsingContext.setViewport", context=self.context, viewport=size)
        self.tab.events.clear()
        address = path.resolve().as_uri()
        self.tab.call(
            "browsingContext.navigate", context=self.context, url=address, wait="complete"
        )

    def eval(self, expression):
        found = self.tab.call("script.evaluate", expression=f"JSON.stringify({expression})",
                              target={"context": self.context}, awaitPromise=True)  # fmt: skip
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    def screenshot(self, path):
        data = self.tab.call("browsingContext.captureScreenshot", context=self.context)["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def problems(self):
        self.eval("1")
        return [e for e in self.tab.of("log.entryAdded") if e["level"] == "error"]

    @property
    def requests(self):
        self.eval("1")
        return [e["request"]["url"] for e in self.tab.of("network.beforeRequestSent")]


class WebKit(Driver):
    """WebKitGTK's MiniBrowser, Safari's engine; a driver for each color scheme and scripts off."""

    narrowest = 447  # its toolbar is no narrower

    def __init__(self, folder, cleanup):
        self.program = program("WebKitWebDriver", hint="webkit2gtk-driver")
        self.browser = program(*MINIBROWSER, hint="webkit2gtk-driver")
        self.folder, self.cleanup, self.started = folder, cleanup, {}
        display(cleanup)
        self.asked, self.proxy = listening_proxy(cleanup)

    def _start(self, dark, script):
        port = 18700 + 2 * dark + script
        theme = {"GTK_THEME": "Adwaita:dark" if dark else "Adwaita"}
        process = subprocess.Popen([self.program, f"--port={port}"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   env=os.environ | NO_GPU | theme)  # fmt: skip
        self.cleanup(lambda: stop(process))
        base = f"http://127.0.0.1:{port}/session"
        # The setting turns off the page's own scripts; the driver's still run.
        arguments = ["--automation", f"--enable-javascript-markup={str(script).upper()}"]
        options = {"binary": self.browser, "args": arguments}
        proxy = {"proxyType": "manual", "httpProxy": self.proxy, "sslProxy": self.proxy}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options, "proxy": proxy}}

        def connect():
            try:
                return self._send("POST", base, {"capabilities": wanted})
            except ConnectionError:
                return None
            except OSError as error:  # URLError of a port that does not listen yet
                return None if "refused" in str(error) else pytest.fail(str(error))

        session = until(connect, 30, lambda: pytest.skip("WebKitWebDriver does not start here"))
        address = f"{base}/{session['sessionId']}"
        self.cleanup(lambda: self._send("DELETE", address))
        return address

    @staticmethod
    def _send(method, address, body=None):
        data = None if body is None else json.dumps(body).encode()
        ask = Request(address, method=method, data=data)
        with urlopen(ask, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, path, *, width=1280, height=900, dark=False, script=True):
        if (dark, script) not in self.started:
            self.started[dark, script] = self._start(dark, script)
        self.session, self.path = self.started[dark, script], path
        self._send("POST", f"{self.session}/window/rect", {"width": width, "height": height + 38})
        self.asked.clear()
        self._send("POST", f"{self.session}/url", {"url": path.resolve().as_uri()})
        self.eval(HEAR)

    def eval(self, expression):
        body = {"script": f"return {expression}", "args": []}
        return self._send("POST", f"{self.session}/execute/sync", body)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._send("GET", f"{self.session}/screenshot")))

    @property
    def problems(self):
        """Console errors of loading, by a second browser: this one says nothing while driven."""
        with (self.folder / "said").open("w+") as log:
            process = subprocess.Popen(
                [self.browser, "--enable-write-console-messages-to-stdout=TRUE", self.path],
                env=os.environ | NO_GPU, stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
            time.sleep(8)
            stop(process)
            time.sleep(1)  # its helper writes what it kept when the browser is gone
            log.seek(0)
            loading = [line for line in log if re.search(r"CONSOLE.* (ERROR|EXCEPTION)", line)]
        return loading + self.eval("window.heard || []")

    @property
    def requests(self):
        return self.asked + self.eval("performance.getEntriesByType('resource').map(e => e.name)")


ENGINES = {"chromium": Chromium, "firefox": Firefox, "webkit": WebKit}

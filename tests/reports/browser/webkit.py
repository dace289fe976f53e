"""WebKit by WebDriver."""

import base64
import json
import os
import re
import socketserver
import subprocess
import threading
import time
from urllib.request import Request, urlopen

import pytest
from driving import NO_GPU, Driver, display, program, stop, until

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

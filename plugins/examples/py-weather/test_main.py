"""Run with `python3 -m unittest`, with sedge-sdk installed."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from main import PyWeather
from sedge_sdk import ToolError
from sedge_sdk.testing import FakeNode

SERVER = "https://api.open-meteo.com/v1/forecast?latitude=47.1&longitude=8.5&current=temperature_2m%2Cwind_speed_10m"


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        words = parse_qs(urlsplit(self.path).query)
        is_known = words.get("latitude") == ["47.1"]
        current = {"temperature_2m": 11.5, "wind_speed_10m": 7}
        body = json.dumps({"current": current} if is_known else {"error": True}).encode()
        self.send_response(200 if is_known else 400)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class TheTool(unittest.TestCase):
    def test_asks_a_server(self):
        server = HTTPServer(("127.0.0.1", 0), Server)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        host = f"127.0.0.1:{server.server_port}"
        with FakeNode(PyWeather, {"url": f"http://{host}"}, grants={"hosts": [host]}, http="real") as node:
            self.assertEqual(node.call("py_weather_now", latitude=47.1, longitude=8.5), {"temperature": 11.5, "wind": 7})
            with self.assertRaisesRegex(ToolError, "status 400"):
                node.call("py_weather_now", latitude=0, longitude=0)

    def test_says_so_when_the_server_answers_nonsense(self):
        for body in ("<html>", "[]", '{"current": {}}', '{"current": {"temperature_2m": null, "wind_speed_10m": 1}}'):
            with (
                FakeNode(PyWeather, http={SERVER: body}) as node,
                self.assertRaisesRegex(ToolError, "something else"),
            ):
                node.call("py_weather_now", latitude=47.1, longitude=8.5)

    def test_reaches_no_host_that_was_not_granted(self):
        with FakeNode(PyWeather, grants={}, http={SERVER: "{}"}) as node, self.assertRaises(ToolError) as caught:
            node.call("py_weather_now", latitude=47.1, longitude=8.5)
        self.assertEqual(caught.exception.code, "denied")

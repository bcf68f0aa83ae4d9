"""A collector on loopback that keeps what libraries send to it."""

import gzip
import http.server
import threading
import zlib


class Catcher:
    """Takes every POST while it is open, and says that all is well."""

    def __enter__(self):
        self.bodies = []
        caught = self.bodies

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                match self.headers.get("Content-Encoding"):
                    case "gzip":
                        body = gzip.decompress(body)
                    case "deflate":
                        body = zlib.decompress(body)
                # Some libraries press their batches together and don't say so in this header.
                if body[:2] == b"\x1f\x8b":
                    body = gzip.decompress(body)
                caught.append(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                answer = b'{"success": true, "status": 1}'
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self):
                # Settings that a library asks for: there are none.
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

"""The ICAP services of the interoperability tests, as pyicap makes them.

The argument is the text that counts as a virus. The first line of output is the server's URI, on a
free port of 127.0.0.1. The server ends when its input does, so it cannot outlive a test.

Only what a service decides is written here. What is read and written, and how, is pyicap's.
"""

import collections
import collections.abc
import socketserver
import sys
import threading

# pyicap 1.0b1 asks for the old name when it looks for a service. Python 3.10 took that away, and every
# request would end its connection without a response.
collections.Callable = collections.abc.Callable

from pyicap import BaseICAPRequestHandler, ICAPServer  # noqa: E402

VIRUS = sys.argv[1].encode()
ISTAG = b'"pyicap-tests"'
PAGE = b"<html><body>This file was blocked.</body></html>"


class Server(socketserver.ThreadingMixIn, ICAPServer):
    """One thread a connection, as in all of pyicap's examples; by itself it serves one at a time."""

    daemon_threads = True


class Services(BaseICAPRequestHandler):
    # pyicap finds a service by its name, before the method.

    def scan_OPTIONS(self):
        self.offer([(b"Allow", b"204"), (b"Preview", b"4096"), (b"Transfer-Preview", b"*")])

    def scan_REQMOD(self):
        self.scan()

    def scan_RESPMOD(self):
        self.scan()

    # Returns what it gets, while it gets it: pyicap's way of changing nothing where 204 is not allowed.

    def echo_OPTIONS(self):
        self.offer([])

    def echo_REQMOD(self):
        self.echo()

    def echo_RESPMOD(self):
        self.echo()

    # Calls a preview clean, whatever follows: pyicap's way of changing nothing where there is one.

    def hasty_OPTIONS(self):
        self.offer([(b"Allow", b"204"), (b"Preview", b"4"), (b"Transfer-Preview", b"*")])

    def hasty_REQMOD(self):
        self.leave()

    def hasty_RESPMOD(self):
        self.leave()

    # Leaves the ISTag to pyicap, which makes up another one for each response.

    def drifting_OPTIONS(self):
        self.offer([(b"Allow", b"204")], istag=None)

    def drifting_RESPMOD(self):
        self.no_adaptation_required()

    def offer(self, fields, istag=ISTAG):
        self.set_icap_response(200)
        self.set_icap_header(b"Methods", b"RESPMOD, REQMOD")
        self.set_icap_header(b"Service", b"pyicap")
        self.set_icap_header(b"Options-TTL", b"3600")
        for name, value in fields:
            self.set_icap_header(name, value)
        if istag:
            self.set_icap_header(b"ISTag", istag)
        self.send_headers()

    def scan(self):
        content = self.read_chunks()
        seen = b"whole" if self.preview is None else b"preview"
        if seen == b"preview" and not self.ieof and VIRUS not in content:
            self.cont()
            content += self.read_chunks()
            seen = b"continued"
        # For the tests: what the service was given, and how.
        self.set_icap_header(b"X-Seen", b"%s %d" % (seen, len(content)))
        self.set_icap_header(b"ISTag", ISTAG)
        if VIRUS in content:
            self.block()
        else:
            self.set_icap_response(204)
            self.send_headers()

    def echo(self):
        self.allow = []
        self.leave()

    def leave(self):
        self.set_icap_header(b"ISTag", ISTAG)
        self.no_adaptation_required()

    def read_chunks(self):
        return b"".join(iter(self.read_chunk, b""))

    def block(self):
        self.set_icap_response(200)
        self.set_icap_header(b"X-Infection-Found", b"Type=0; Resolution=2; Threat=Test-Virus;")
        self.set_enc_status(b"HTTP/1.1 403 Forbidden")
        self.set_enc_header(b"Content-Type", b"text/html")
        self.set_enc_header(b"Content-Length", b"%d" % len(PAGE))
        self.send_headers(True)
        self.write_chunk(PAGE)
        self.write_chunk()


def main():
    server = Server(("127.0.0.1", 0), Services)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("icap://127.0.0.1:%d" % server.server_address[1], flush=True)
    sys.stdin.read()


main()

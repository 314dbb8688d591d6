"""Where alerts arrive: a real web server and a real mail server on loopback, which refuse when they are told to."""

import contextlib
import email.policy
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Sink:
    """What has arrived, as title and body; while `refuses`, nothing does."""

    port: int
    arrived: list[tuple[str, str]] = field(default_factory=list)
    refuses: bool = False

    @property
    def titles(self) -> list[str]:
        """Return the titles of what has arrived, in order."""
        return [title for title, _ in self.arrived]


@contextlib.contextmanager
def web_sink(address: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> Iterator[Sink]:
    """Take JSON posts until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not sink.refuses:
                sink.arrived.append((posted["title"], posted["message"]))
            self.send_response(500 if sink.refuses else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer((address, port), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        sink = Sink(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield sink
        finally:
            server.shutdown()


@contextlib.contextmanager
def mail_sink() -> Iterator[Sink]:
    """Take mail until the block ends."""

    class Handler:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
            if sink.refuses:
                return "451 not now"
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            mail = email.message_from_bytes(content, EmailMessage, policy=email.policy.default)
            body = mail.get_body(("plain", "html"))
            sink.arrived.append((str(mail["Subject"]), body.get_content() if body else ""))
            return "250 taken"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink = Sink(probe.getsockname()[1])
    controller = Controller(Handler(), hostname="127.0.0.1", port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()

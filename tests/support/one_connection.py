"""A server for one connection that behaves as a test says, however badly."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """Accept one connection on loopback, read its request and hand both to `behave`; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    behave(connection, connection.recv(65_536))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()

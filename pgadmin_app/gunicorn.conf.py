"""How gunicorn serves pgAdmin: by one process, for that keeps its sessions with databases in memory."""

import os
from pathlib import Path

bind = f"127.0.0.1:{os.environ['MP_PGADMIN_PORT']}"
chdir = str(Path(__file__).parent)
wsgi_app = "application:application"
worker_class = "gthread"
workers = 1
# Each page that is open has a channel of its own.
threads = 25
# systemd's watchdog alone says what hangs.
timeout = 0
graceful_timeout = 5
worker_tmp_dir = os.environ["RUNTIME_DIRECTORY"]
# Nobody asks a second way in.
control_socket_disable = True
loglevel = "warning"

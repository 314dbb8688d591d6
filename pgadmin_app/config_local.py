"""pgAdmin's settings, which it imports by this module's name; what is not here is as its own config.py has it.

The directories, and where the database is, come from the unit.
"""

import logging
import os

SERVER_MODE = True
DATA_DIR = os.environ["STATE_DIRECTORY"]
# Gone with every stop, and so is every session: a password that was changed is asked for again.
SESSION_DB_PATH = f"{os.environ['RUNTIME_DIRECTORY']}/sessions"

# The journal has the time, and all that is said; a file pgAdmin insists on, and this one stays empty.
CONSOLE_LOG_FORMAT = "%(levelname)s: %(name)s: %(message)s"
LOG_FILE = f"{os.environ['RUNTIME_DIRECTORY']}/empty.log"
FILE_LOG_LEVEL = logging.CRITICAL + 1

# There is no proxy whose word could be taken, and no name but loopback's by which a browser may come.
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
PROXY_X_FOR_COUNT = 0
PROXY_X_PROTO_COUNT = 0
PROXY_X_PORT_COUNT = 0
SESSION_COOKIE_SAMESITE = "Strict"
ENHANCED_COOKIE_PROTECTION = True
CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline';"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self';"
)
# The password is 32 random characters; a lock would only help who wants to keep the operator out.
MAX_LOGIN_ATTEMPTS = 0
# It would ask for a second password to keep passwords of databases, and none is kept.
MASTER_PASSWORD_REQUIRED = False
ALLOW_SAVE_PASSWORD = False

# Nothing is asked of anybody but the database.
UPGRADE_CHECK_ENABLED = False
SHOW_GRAVATAR_IMAGE = False
LLM_ENABLED = False
MFA_ENABLED = False
MAIL_SUPPRESS_SEND = True
SUPPORT_SSH_TUNNEL = False
AUTO_DISCOVER_SERVERS = False

# No other program is started.
ENABLE_PSQL = False
ENABLE_BINARY_PATH_BROWSING = False
ENABLE_SERVER_PASS_EXEC_CMD = False

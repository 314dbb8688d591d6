"""The units as they lie here: which there are, and what each says."""

from support.repository import ROOT, group_vars

SYSTEMD = ROOT / "systemd"
PATHS = group_vars("pipeline")["market_pulse_paths"]
DAEMONS = ["kafka", "spark-master", "spark-worker", "consumer", "simulator", "producer", "web", "pgadmin", "auditor"]
# Run to their end when their timer says so.
JOBS = ["upkeep", "alerts", "backup", "restore-proof"]
# Which the deployment does not wait for, and which run as PostgreSQL's own user.
AT_NIGHT = ["backup", "restore-proof"]
UNITS = [*DAEMONS, *JOBS]
# The roles whose variables end in a unit's environment file.
ROLES = {
    "kafka": ["kafka"],
    "spark-master": ["spark"],
    "spark-worker": ["spark"],
    "consumer": ["consumer"],
    "simulator": ["simulator"],
    "producer": ["producer", "simulator"],
    "web": ["web", "simulator"],
    "pgadmin": ["pgadmin"],
    "auditor": ["auditor", "simulator"],
    "upkeep": ["upkeep", "simulator"],
    "alerts": ["alerts"],
    "backup": ["backup"],
    "restore-proof": ["backup"],
}


def unit_values(name: str, key: str) -> list[str]:
    """Return the words of every line of a unit that sets this key."""
    text = (SYSTEMD / f"market-pulse-{name}.service").read_text().replace("\\\n", " ")
    return [word for line in text.splitlines() if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()]

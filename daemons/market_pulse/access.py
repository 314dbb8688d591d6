"""Who may do what in Kafka: a password for each principal, and the ACLs, of which everything else is denied.

``python -m market_pulse.access [--dry-run] TOPIC`` makes it so, as root on the broker's host, with the environment of
its unit; the passwords come on standard input, as a JSON object by principal. It prints what it changed, or in a dry
run would change; nothing if nothing. A password cannot be read back, so one is known to be right when it opens a
session.
"""

import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError
from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from market_pulse.errors import AccessError, SettingsError
from market_pulse.kafka_login import MECHANISM, Login, Principal, RefusedError
from market_pulse.settings import BrokerSettings
from market_pulse.topic import DRY_RUN, connect

# Between the controller's word and the broker's deed; on one host milliseconds.
_EFFECTIVE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
# The broker's probe makes its own user, with the same name as its topic.
PROBE_PREFIX = "market-pulse-probe-"


# On the topic of the bars. The monitor reads records for `market-pulse replay`.
_RIGHTS = {
    Principal.PRODUCER: (ACLOperation.WRITE, ACLOperation.DESCRIBE),
    Principal.CONSUMER: (ACLOperation.READ, ACLOperation.DESCRIBE),
    Principal.MONITOR: (ACLOperation.READ, ACLOperation.DESCRIBE),
    Principal.WEB: (ACLOperation.READ,),
}
# What the Kafka page looks at beside it: everything that is there, and how it is set, but no record of it.
_VIEW = {
    ResourcePattern(ResourceType.TOPIC, "*"): (ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS),
    ResourcePattern(ResourceType.GROUP, "*"): (ACLOperation.DESCRIBE,),
}
_PROBE_RIGHTS = (ACLOperation.WRITE, ACLOperation.READ, ACLOperation.DESCRIBE)
_EVERY_ACL = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


def rights(topic: str) -> set[ACL]:
    """Return the ACLs of the principals, given the topic of the bars."""
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    on_topic = {_allowed(principal, pattern, operation) for principal, held in _RIGHTS.items() for operation in held}
    return on_topic | {_allowed(Principal.WEB, seen, operation) for seen, held in _VIEW.items() for operation in held}


def probe_rights(name: str) -> set[ACL]:
    """Return the ACLs of a broker's probe, which are on its own topic alone."""
    return {_allowed(name, ResourcePattern(ResourceType.TOPIC, name), operation) for operation in _PROBE_RIGHTS}


def agree_on_users(
    admin: KafkaAdminClient, login: Login, passwords: Mapping[Principal, str], *, is_dry_run: bool = False
) -> list[str]:
    """Give each principal its password, and remove every other user; return what was changed, in words.

    Args:
        admin: a session of the broker's own.
        login: at the listener of the clients; as whom does not matter.
        passwords: by principal.
        is_dry_run: whether nothing is changed, and what would be is returned.

    Raises:
        AccessError: a password does not open a session though it was set.
        kafka.errors.KafkaError: the broker does not answer.
    """
    known = admin.describe_user_scram_credentials()
    changed = []
    for name, password in passwords.items():
        mine = replace(login, principal=name, password=password)
        if str(name) not in known or not lets_in(mine):
            if not is_dry_run:
                set_password(admin, mine)
            changed.append(f"set the password of {name}")
    for name in sorted(set(known) - set(map(str, passwords))):
        if not name.startswith(PROBE_PREFIX):
            for credential in known[name]["credential_infos"] if not is_dry_run else ():
                _alter(admin, UserScramCredentialDeletion(name, credential["mechanism"]))
            changed.append(f"removed the user {name}")
    return changed


def set_password(admin: KafkaAdminClient, login: Login) -> None:
    """Give a user this password, and return when it opens a session.

    Raises:
        AccessError: it does not, within seconds.
    """
    _alter(admin, UserScramCredentialUpsertion(login.principal, MECHANISM, login.password))
    _await(lambda: lets_in(login), f"the password of {login.principal} was set, and does not let it in")


def lets_in(login: Login) -> bool:
    """Tell whether the broker takes the password.

    Raises:
        kafka.errors.KafkaError: the broker does not answer.
    """
    try:
        connect(login, seconds=4).close()
    except RefusedError:
        return False
    return True


def agree_on_acls(
    admin: KafkaAdminClient, wanted: Collection[ACL], *, only: bool = True, is_dry_run: bool = False
) -> list[str]:
    """Add the ACLs that are missing and, if there are to be `only` these, delete others; return what was changed.

    Those of probes stay. It returns when they are in force. A dry run changes nothing, and returns what it would.

    Raises:
        AccessError: the broker refuses one, or they are not in force within seconds.
    """
    found = set(admin.describe_acls(_EVERY_ACL)[0])
    missing = sorted(set(wanted) - found, key=_words)
    others = (acl for acl in found - set(wanted) if only and not acl.principal.startswith(f"User:{PROBE_PREFIX}"))
    surplus = sorted(others, key=_words)
    changed = [f"allowed {_words(acl)}" for acl in missing] + [f"no longer {_words(acl)}" for acl in surplus]
    if is_dry_run:
        return changed
    if missing and (failed := admin.create_acls(missing)["failed"]):
        raise AccessError(f"the broker refuses ACLs: {', '.join(error.__name__ for error in failed)}")
    if surplus:
        admin.delete_acls([_exactly(acl) for acl in surplus])

    def is_in_force() -> bool:
        now = set(admin.describe_acls(_EVERY_ACL)[0])
        return now.issuperset(missing) and now.isdisjoint(surplus)

    _await(is_in_force, "the broker took the ACLs, and they are not in force")
    return changed


def _allowed(user: str, pattern: ResourcePattern, operation: ACLOperation) -> ACL:
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)


def _exactly(acl: ACL) -> ACLFilter:
    return ACLFilter(acl.principal, acl.host, acl.operation, acl.permission_type, acl.resource_pattern)


def _words(acl: ACL) -> str:
    pattern = acl.resource_pattern
    kinds = f"{acl.permission_type.name.lower()} {acl.operation.name.lower()}"
    return f"{acl.principal}@{acl.host} {kinds} {pattern.resource_type.name.lower()} {pattern.resource_name}"


def _alter(admin: KafkaAdminClient, change: UserScramCredentialUpsertion | UserScramCredentialDeletion) -> None:
    (error,) = admin.alter_user_scram_credentials([change]).values()
    if error is not None:
        raise AccessError(f"the broker refuses {change}: {error}")


def _await(condition: Callable[[], bool], trouble: str) -> None:
    within, pause = stop_after_delay(_EFFECTIVE_SECONDS), wait_fixed(_PAUSE_SECONDS)
    try:
        Retrying(retry=retry_if_not_result(bool), stop=within, wait=pause)(condition)
    except RetryError:
        raise AccessError(f"{trouble} after {_EFFECTIVE_SECONDS:.0f} s") from None


def _passwords(text: bytes) -> dict[Principal, str]:
    try:
        passwords = msgspec.json.decode(text, type=dict[Principal, Annotated[str, msgspec.Meta(min_length=1)]])
    except msgspec.DecodeError as error:
        raise AccessError(f"standard input must be a JSON object of passwords by principal: {error}") from None
    if absent := set(Principal) - set(passwords):
        raise AccessError(f"no password was given for {', '.join(sorted(absent))}")
    return passwords


def main(arguments: Sequence[str]) -> int:
    """Read the command line and the passwords, agree on who may do what, and return the exit code."""
    is_dry_run = DRY_RUN in arguments[:1]
    if len(arguments) != 1 + is_dry_run:
        sys.stderr.write(f"usage: python -m market_pulse.access [{DRY_RUN}] TOPIC <PASSWORDS\n")
        return os.EX_USAGE
    try:
        passwords = _passwords(sys.stdin.buffer.read())
        settings = BrokerSettings.load()
        with connect(settings.broker_login) as admin:
            changed = agree_on_users(admin, settings.login("", ""), passwords, is_dry_run=is_dry_run)
            changed += agree_on_acls(admin, rights(arguments[-1]), is_dry_run=is_dry_run)
    except (AccessError, SettingsError, KafkaError) as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_CONFIG
    sys.stdout.write("".join(f"{line}\n" for line in changed))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The ways that the bench knows, by the names that its command takes."""

from collections.abc import Mapping

from bench.way import OpenWay

WAYS: Mapping[str, OpenWay] = {}

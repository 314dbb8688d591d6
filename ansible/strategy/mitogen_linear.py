"""Ansible's linear strategy, over one Python on each host that stays for the whole run, as Mitogen has it."""

from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule as StrategyModule

# The front door: every target calls the real thing, and each can be called again.
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible/ansible.cfg
# Ansible asks for sudo's password where there is one; a password that sudo remembers for this terminal is none to Ansible.
BECOME = $(shell [ "$$(id -u)" = 0 ] || sudo -k -n true 2>/dev/null || echo --ask-become-pass)
# System tests are not: they share a lab host and have deadlines.
SIDE_BY_SIDE = --numprocesses=auto --dist=loadfile
# What tests and bench need of Debian that a control node does not.
TESTS = chromium-headless-shell pgbackrest postgresql
# What lint needs of it, what a box needs more, and what the smoke test.
VAGRANT = rubocop vagrant vagrant-libvirt
BOX = fdisk grub-common grub-pc-bin qemu-utils
EMULATION = dnsmasq-base iptables libvirt-clients libvirt-daemon-system qemu-system-x86 slirp4netns
POWERBI = tests/integration/powerbi_tools
LAB = $(BIN)/ansible-playbook $(BECOME) -i ansible/inventories/lab

.PHONY: help up down test test-all scorecard bench vagrant-box vagrant-smoke check lint lock artifacts test-tools bootstrap

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

up: artifacts ## the whole pipeline on a lab host of this machine, up to the first bars
	$(LAB) ansible/lab_up.yml ansible/secrets.yml ansible/site.yml ansible/lab_show.yml
	@cat .lab/demo/ways-in.txt

down: bootstrap ## remove the lab; caches, .venv and the Debian packages of a control node stay
	$(LAB) ansible/lab_down.yml
	@rmdir .lab 2>/dev/null || true

test: artifacts test-tools check ## unit, consistency, simulation, integration and system tests, but for those that take many minutes each
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/simulation tests/integration
	$(BIN)/pytest --durations=30 tests/system

test-all: artifacts test-tools check ## those, too
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "slow or not slow" tests/simulation tests/integration
	$(BIN)/pytest --durations=30 -m "slow or not slow" tests/system

scorecard: artifacts ## all faults tried anew, which takes hours, and the table of them in the README
	MARKET_PULSE_SCORECARD=README.md $(BIN)/pytest -m "slow or not slow" tests/system/faults

bench: artifacts ## how fast, against limits and peers; in full as docs/performance.md says
	@ansible/bootstrap.sh $(TESTS)
	$(BENCH)/queries.py $(QUERIES)
	$(BENCH)/sink.py $(BARS:%=--bars %) $(SINK)
	$(BENCH)/latency.py $(LATENCY)
	$(BENCH)/producer.py $(PRODUCER)
	$(BENCH)/scaling.py $(SCALING)
bench: BENCH = PYTHONPATH=tests:daemons:spark_app:ansible/artifacts $(BIN)/python tests/bench

vagrant-box: bootstrap ## a box of Debian's packages for libvirt, where none can be downloaded: market-pulse/local
	@ansible/bootstrap.sh $(VAGRANT) $(BOX)
	vagrant box add --force --name market-pulse/local "$$(vagrant/local-box/build.sh)"

vagrant-smoke: artifacts ## the Vagrant machine under emulation, with a database and a broker on it; TAGS=all for the whole
	@ansible/bootstrap.sh $(VAGRANT) $(BOX) $(EMULATION)
	vagrant/smoke/run.sh $(TAGS)
vagrant-smoke: TAGS = postgresql,kafka

check: bootstrap ## the quick tests, under a minute
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/unit tests/consistency

lint: bootstrap ## every linter
	@ansible/bootstrap.sh $(VAGRANT)
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy --config-file setup.cfg
	$(BIN)/sqlfluff lint -q sql && git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck
	cd ansible && $(BIN)/ansible-lint -q
	cd vagrant && rubocop --format=quiet Vagrantfile smoke/Vagrantfile && vagrant validate

lock: bootstrap ## write the lock files anew from setup.cfg, versions.yml, pgadmin.in and the poms
	$(BIN)/uv pip compile -q $(LOCK) setup.cfg -o ansible/artifacts/requirements.lock
	$(BIN)/uv pip compile -q $(LOCK) --extra spark --extra dev -c ansible/artifacts/requirements.lock setup.cfg -o ansible/artifacts/requirements-dev.lock
	$(BIN)/uv pip compile -q $(LOCK) ansible/artifacts/pgadmin.in -o ansible/artifacts/pgadmin.lock
	$(BIN)/uv pip compile -q $(LOCK) --no-deps $(POWERBI)/requirements.in -o $(POWERBI)/requirements.lock
	$(BIN)/python ansible/artifacts/resolve.py --lock
	rm -rf *.egg-info
lock: LOCK = --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --override ansible/artifacts/overrides.txt

artifacts: bootstrap ## fetch and verify what the hosts will run
	@$(BIN)/python ansible/artifacts/resolve.py $(MORE) >/dev/null
# The labs have it; for another inventory that has, site.yml fetches it.
up test test-all scorecard: MORE = --pgadmin

test-tools: bootstrap ## what tests need more: a browser, a database's server, and Microsoft's parser of Power BI models
	@ansible/bootstrap.sh $(TESTS)
	@$(POWERBI)/install.sh

bootstrap: ## this machine as a control node: Debian packages and .venv
	@ansible/bootstrap.sh

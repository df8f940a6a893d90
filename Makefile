# The ways to work with Postern. `make help` lists them.
#
# One profile (dev) serves `make up`, `make test` and everyday work, so that one build serves all. PROFILE=release builds
# `make up` for speed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROFILE ?= dev
CARGO ?= cargo
TARGET_FOLDER := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET_FOLDER)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

STORES := postgresql redis-server
MAIL_PROGRAMS := curl swaks msmtp mpop fetchmail getmail6 mutt s-nail python3 python3-venv perl libio-socket-ssl-perl ruby thunderbird xvfb nmap
RIVALS := postfix dovecot-pop3d
SCANNER := rspamd
AUTHORITY := pebble
MAIL_SERVERS := postfix exim4-daemon-light
NETWORK := iproute2 nftables
BROWSER := chromium chromium-driver
PROBES := testssl.sh

.PHONY: help up test bench faults partition scale queue-scale conformance fuzz differential siege probes screenshots accessibility containers alerts contract check fmt clean stores mail-programs rivals scanner authority mail-servers network browser probe-programs

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: stores ## Build, and run the whole house with a demo customer until Ctrl-C (ARGS='--port-offset 1000' adds flags)
	$(CARGO) build --profile $(PROFILE) -p postern
	@exec $(BUILT)/postern up --demo $(ARGS)

test: stores mail-programs rivals scanner authority mail-servers browser ## Run everything that must hold
	$(CARGO) fmt --all --check
	@CARGO="$(CARGO)" scripts/test

bench: stores rivals ## Measure messages, polls, reads, relay for both shapes, what a large list does to others, and pages of the panel (ARGS='--shapes panel')
	$(CARGO) build --release --workspace --bins
	$(TARGET_FOLDER)/release/bench $(ARGS)

faults: stores mail-programs ## The long fault run: ROUNDS (20) rounds of load with kill -9
	$(CARGO) build --workspace --bins
	POSTERN_FAULT_ROUNDS=$(or $(ROUNDS),20) $(CARGO) test --workspace --test faults --test faults_outbound -- --nocapture

partition: stores network ## Two of everything on two machines (network namespaces, as root), one of which is cut off
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --test partition -- --ignored --nocapture

scale: stores ## 1,000,000 mailboxes in 100,000 domains: does the mail path notice? (ARGS='--mailboxes 200000')
	$(CARGO) build --workspace --bins
	$(TARGET_FOLDER)/debug/scale $(ARGS)

conformance: stores mail-programs rivals scanner authority mail-servers browser ## What the protocols demand, and which test shows it
	$(CARGO) build --workspace --all-targets
	$(CARGO) test --workspace --no-fail-fast -- --show-output 2>&1 | $(BUILT)/conformance

fuzz: ## Fuzz what reads the octets of strangers: each target for SECONDS (600), or one (TARGET=smtp_data)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	@scripts/fuzz $(abspath $(TARGET_FOLDER))/fuzz $(or $(SECONDS),600) $(TARGET)

screenshots: stores browser ## Pictures of every page of the control panel, by width and light, in target/screenshots/ (ARGS='--widths 360 --language de')
	$(CARGO) build --workspace --bins
	$(TARGET_FOLDER)/debug/screenshots $(ARGS)

queue-scale: stores ## A queue of ROWS (1,000,000) rows: first pages, the next due batch, and local delivery beside it
	POSTERN_QUEUE_ROWS=$(or $(ROWS),1000000) $(CARGO) test --workspace --lib -- queue::tests::backlog --nocapture

accessibility: stores browser ## The same pages read by axe-core, which npm fetches
	@scripts/install-packages npm
	npm install --silent --no-save --prefix $(TARGET_FOLDER)/axe axe-core
	$(CARGO) build --workspace --bins
	$(TARGET_FOLDER)/debug/screenshots --axe $(TARGET_FOLDER)/axe/node_modules/axe-core/axe.min.js

differential: stores rivals ## The same octets to Postern and to Postfix and Dovecot (as root): what differs, and who is right
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --test differential -- --nocapture

siege: stores ## 10,000 waiting and 5,000 dripping sessions: memory of each, and the logins of others (ARGS='--idle 1000')
	$(CARGO) build --release --workspace --bins
	$(TARGET_FOLDER)/release/siege $(ARGS)

probes: stores probe-programs ## What testssl.sh finds at the doors (what nmap finds is among the tests)
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --test stories -- probes --include-ignored --nocapture

containers: ## The compose file on a real Docker engine, seen from outside (as root; STAND_INS=no where images can be pulled)
	@scripts/install-packages docker.io docker-compose debootstrap iproute2 python3 openssl
	$(CARGO) build --release --workspace --bins
	tests/containers/run $(TARGET_FOLDER)/release

alerts: ## The alerts evaluated by promtool (of Debian's prometheus, unpacked and not installed): each fires from an empty start
	@mkdir -p $(TARGET_FOLDER)/promtool
	@cd $(TARGET_FOLDER)/promtool && { [ -x usr/bin/promtool ] || { apt-get download -q prometheus && dpkg -x prometheus_*.deb .; }; }
	$(TARGET_FOLDER)/promtool/usr/bin/promtool test rules tests/alerts.yaml

contract: ## Write down what is new at the gRPC face (proto/contract.txt), so that it is guarded from now on
	POSTERN_WRITE_CONTRACT=true $(CARGO) test -p postern-proto --test contract

check: ## Compile and lint, without running anything
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

clean: ## Remove what was built (the data folder .postern stays)
	$(CARGO) clean

stores:
	@scripts/install-packages $(STORES)

mail-programs:
	@scripts/install-packages $(MAIL_PROGRAMS)

rivals:
	@scripts/install-packages $(RIVALS)

scanner:
	@scripts/install-packages $(SCANNER)

authority:
	@scripts/install-packages $(AUTHORITY)

mail-servers:
	@scripts/unpack-packages $(TARGET_FOLDER)/mail-servers $(MAIL_SERVERS)

network:
	@scripts/install-packages $(NETWORK)

browser:
	@scripts/install-packages $(BROWSER)

probe-programs:
	@scripts/install-packages $(PROBES)

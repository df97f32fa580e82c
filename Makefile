# `make` without a target lists the targets with the text after ##.

PREFIX ?= /usr/local
CARGO ?= cargo
target = $(or $(CARGO_TARGET_DIR),target)
# rustup installs to a directory that may not be in the PATH of a running shell yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Makes random test cases differ from run to run. Without it they come from the fixed seed in .cargo/config.toml.
new_cases = PROPTEST_RNG_SEED=$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

.DEFAULT_GOAL := help
.PHONY: help setup demo test screenshots live upgrade sweep reach engines detect clients fuzz websockets bench proxies swaps lint deny advisories install clean

help: ## show this help
	@echo 'Boatyard: App Platform on your own Docker host.'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## check the compiler, the Docker engine, the local images, the ssh server, the certificate authority and the browser (as root on Debian: install what is missing)
	@scripts/setup

# REACH=published runs it with published ports, as on Docker Desktop.
REACH ?=
demo: setup ## deploy, restart, rebuild and break a small app under load, and report the effect on its users (REACH=published)
	$(CARGO) build --locked -p boatyard -p boatyard-tests --bins
	BOATYARD_TEST_REACH=$(REACH) $(target)/debug/demo

# Cargo builds the boatyard binary for the end-to-end tests, which belong to its package. A separate `cargo build` would
# compile many dependencies once more, because the tests use other features of them.
#
# On a machine without a browser, the tests of the control panel fail. To let them skip: make test BOATYARD_REQUIRE_BROWSER=0
# The same goes for the tests of repositories by ssh, without OpenSSH's server: make test BOATYARD_REQUIRE_SSHD=0
# And for those of certificates, without Pebble: make test BOATYARD_REQUIRE_PEBBLE=0
test: export BOATYARD_REQUIRE_BROWSER ?= 1
test: export BOATYARD_REQUIRE_SSHD ?= 1
test: export BOATYARD_REQUIRE_PEBBLE ?= 1
test: setup ## run all tests, including those against the Docker engine
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -ex; \
		$(CARGO) test --locked --workspace --doc; \
		$(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
		set -ex; \
		$(CARGO) test --locked --workspace --no-fail-fast; \
	fi
	@if scripts/previous-version --built >/dev/null; then $(MAKE) --no-print-directory upgrade; fi

screenshots: setup ## photograph every page of the control panel to target/screenshots, light and dark, phone and wide
	$(CARGO) build --locked -p boatyard -p boatyard-tests --bins
	$(target)/debug/screenshots

# `make test` always reads data that the previous version wrote: records, container labels, messages of the ingress. This target also
# runs that version's binary. Building it takes minutes and needs the git history, so `make test` runs this target only after it was built.
upgrade: setup ## take over the running apps of the previous version under load (builds that version once)
	previous=$$(scripts/previous-version) && \
		BOATYARD_PREVIOUS=$$previous $(CARGO) test --locked -p boatyard --test stories -- --ignored --nocapture upgrade::

# The test that kills the engine uses a private one, in a network namespace without internet access.
sweep: setup ## run the end-to-end tests that take minutes: a hundred apps at once, a full disk, a killed engine without a controller (as root)
	$(new_cases) $(CARGO) test --locked -p rollout --lib fixpoint
	$(CARGO) test --locked -p boatyard --test stories -- --ignored --nocapture many:: signals:: frozen:: full_disk:: between_components::
	scripts/private-engine $(CARGO) test --locked --offline -p boatyard --test stories -- --ignored --nocapture engine_restart::

# The machine's engine with published ports, as on Docker Desktop, then a rootless engine. STORIES="restart:: names::" for some.
STORIES ?=
reach: setup ## run the end-to-end tests with instances at published ports, on this engine and on a rootless one (as root; STORIES=name for some)
	BOATYARD_TEST_REACH=published $(CARGO) test --locked -p boatyard --test stories -- --test-threads 3 $(STORIES)
	scripts/rootless-engine $(CARGO) test --locked --offline -p boatyard --test stories -- --test-threads 3 $(STORIES)

# Debian's stable and unstable releases: Docker 26.1 and 28.5 in autumn 2026. `make test` uses the machine's engine.
ENGINES ?= trixie sid
engines: setup ## run the end-to-end tests on newer Docker engines from Debian's packages (as root; ENGINES="trixie sid")
	$(CARGO) test --locked -p boatyard --test stories --no-run
	for release in $(ENGINES); do \
		scripts/private-engine --release $$release $(CARGO) test --locked --offline -p boatyard --test stories -- --test-threads 3 || exit 1; \
	done

# What needs a registry of packages is skipped where a build reaches none.
detect: setup ## build a small project of every language without a Dockerfile, and ask it for a page (DETECT=name for some)
	scripts/images bases
	@for base in base-node-22 base-php-compiled; do scripts/images $$base || echo "Projects that need $$base are skipped."; done
	$(CARGO) test --locked -p detect --test builds -- --ignored --nocapture

FUZZ_SECONDS ?= 600
fuzz: ## measure how long the costliest app specs take to read, then fuzz the reader (FUZZ_SECONDS=600)
	@scripts/build-deps
	$(CARGO) test --locked --release -p app-spec --test worst -- --nocapture --include-ignored
	$(new_cases) $(CARGO) test --locked --release -p app-spec --test properties
	scripts/fuzz $(FUZZ_SECONDS)

# doctl and Terraform come from their makers. DOCTL=PATH, TERRAFORM=PATH and TERRAFORM_PROVIDER=PATH name them.
clients: setup ## drive the API with unmodified clients: pydo from PyPI, and doctl and Terraform if this machine has them (DOCTL=PATH)
	$(CARGO) build --locked -p boatyard -p boatyard-tests --bins
	scripts/clients $(target)/debug/boatyard

websockets: ## run the Autobahn project's WebSocket cases through the ingress, by kosoku from PyPI
	@scripts/build-deps
	$(CARGO) build --locked -p boatyard
	scripts/websocket-suite $(target)/debug/boatyard

bench: setup ## compare restarts, rebuilds and build contexts with the alternatives, and the ingress with nginx, HAProxy and Caddy, as ratios (as root on Debian: install them)
	@scripts/proxies
	$(CARGO) build --locked --release -p boatyard
	$(CARGO) run --locked --release -p boatyard-tests --bin bench
	$(CARGO) run --locked --release -p source --example archive

# BENCH_SECONDS is the length of each of five rounds.
BENCH_SECONDS ?= 3
proxies: ## compare only the ingress with nginx, HAProxy and Caddy, as ratios (BENCH_SECONDS=3)
	@scripts/build-deps
	@scripts/proxies
	$(CARGO) build --locked --release -p boatyard
	$(CARGO) run --locked --release -p boatyard-tests --bin bench -- proxies $(BENCH_SECONDS)

swaps: ## send a million requests through a hundred changes of the routing table that replace the instances: none may fail
	@scripts/build-deps
	$(CARGO) build --locked --release -p boatyard
	$(CARGO) run --locked --release -p boatyard-tests --bin swaps

lint: ## check formatting, clippy, and the licenses and sources of dependencies
	@scripts/build-deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@scripts/deny licenses bans sources

deny: ## check only the licenses and sources of dependencies, and banned crates
	@scripts/deny licenses bans sources

advisories: ## look up the dependencies in the RustSec database (fetches it from GitHub)
	@scripts/deny advisories

live: setup ## measure the live pages of the control panel: how late they are, and what 200 of them take
	$(CARGO) build --locked --release -p boatyard
	$(CARGO) run --locked --release -p boatyard-tests --bin live

install: ## build a release and install it to PREFIX/bin (PREFIX=/usr/local)
	@scripts/build-deps
	$(CARGO) build --locked --release -p boatyard
	install -D -m 755 $(target)/release/boatyard $(DESTDIR)$(PREFIX)/bin/boatyard

clean: ## remove build output, and the local images from the engine
	$(CARGO) clean
	@scripts/clean-images

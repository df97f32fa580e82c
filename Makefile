# What people type. Bare `make` explains itself: the text after ## is what it shows.

PREFIX ?= /usr/local
CARGO ?= cargo
target = $(or $(CARGO_TARGET_DIR),target)
# rustup installs to a folder that a fresh shell may not have in its PATH yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Elsewhere the random cases of the tests are the same in every run: see .cargo/config.toml.
new_cases = PROPTEST_RNG_SEED=$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

.DEFAULT_GOAL := help
.PHONY: help setup demo test upgrade sweep engines fuzz bench lint deny advisories install clean

help: ## show this
	@echo 'Boatyard: App Platform on your own Docker host.'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## make sure of compiler, Docker engine and local images (as root on Debian: install what is missing)
	@scripts/setup

demo: setup ## deploy, restart, rebuild and break a small app under load, and show what it cost its users
	$(CARGO) build --locked -p boatyard
	$(CARGO) run --locked -p boatyard-tests --bin demo

# The end-to-end tests run the boatyard binary, which building the tests alone would not build.
test: setup ## run all tests, those against the Docker engine included
	$(CARGO) build --locked -p boatyard
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -ex; \
		$(CARGO) test --locked --workspace --doc; \
		$(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
		set -ex; \
		$(CARGO) test --locked --workspace --no-fail-fast; \
	fi
	@if scripts/previous-version --built >/dev/null; then $(MAKE) --no-print-directory upgrade; fi

# `make test` always reads what the previous version wrote: records, container labels, messages of the ingress. This target also
# runs that version's binary. Building it takes minutes and needs the git history, so `make test` includes this only once it is built.
upgrade: setup ## take over the running apps of the previous version under load (builds that version once)
	$(CARGO) build --locked -p boatyard
	previous=$$(scripts/previous-version) && \
		BOATYARD_PREVIOUS=$$previous $(CARGO) test --locked -p boatyard --test stories -- --ignored --nocapture upgrade::

# The engine that is killed is one of its own, in a network namespace where nothing can be fetched.
sweep: setup ## run the stories that take minutes: a hundred apps at once, a full disk, the engine killed while no controller runs (as root)
	$(new_cases) $(CARGO) test --locked -p rollout --lib fixpoint
	$(CARGO) test --locked -p boatyard --test stories -- --ignored --nocapture many:: signals:: frozen:: full_disk::
	scripts/private-engine $(CARGO) test --locked --offline -p boatyard --test stories -- --ignored --nocapture engine_restart::

# Debian's stable and its newest: 26.1 and 28.5 in autumn 2026. The machine's own is what `make test` uses.
ENGINES ?= trixie sid
engines: setup ## tell the stories to newer Docker engines, made from Debian's packages (as root; ENGINES="trixie sid")
	$(CARGO) test --locked -p boatyard --test stories --no-run
	for release in $(ENGINES); do \
		scripts/private-engine --release $$release $(CARGO) test --locked --offline -p boatyard --test stories -- --test-threads 3 || exit 1; \
	done

FUZZ_SECONDS ?= 600
fuzz: ## measure the worst app specs, then feed their reader with texts made to break it (FUZZ_SECONDS=600)
	@scripts/build-deps
	$(CARGO) test --locked --release -p app-spec --test worst -- --nocapture --include-ignored
	$(new_cases) $(CARGO) test --locked --release -p app-spec --test properties
	scripts/fuzz $(FUZZ_SECONDS)

bench: setup ## measure restarts, rebuilds and the ingress beside the alternatives, as ratios
	$(CARGO) build --locked --release -p boatyard
	$(CARGO) run --locked --release -p boatyard-tests --bin bench

lint: ## check formatting, clippy, licences and where dependencies come from
	@scripts/build-deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@scripts/deny licenses bans sources

deny: ## check licences, banned crates and sources only
	@scripts/deny licenses bans sources

advisories: ## look up the dependencies in the RustSec database (fetches it from GitHub)
	@scripts/deny advisories

install: ## build for release and install to PREFIX/bin (PREFIX=/usr/local)
	@scripts/build-deps
	$(CARGO) build --locked --release -p boatyard
	install -D -m 755 $(target)/release/boatyard $(DESTDIR)$(PREFIX)/bin/boatyard

clean: ## remove what was built here, and the local images from the engine
	$(CARGO) clean
	@scripts/clean-images

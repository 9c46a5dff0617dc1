# make           .venv/bin/pyoci, an installed pyoci, again after every change of the sources
# make demo      one container through create, start, state, kill, delete
# make test      every test that needs no guest: test-host, test-tree and test-booted
# make test-host those of this machine;            ARGS="tests/native -k seal" for a part, "-n0" in one process
# make test-tree those that need a Debian 13 tree: podman, containerd, Docker
# make test-new  most of this machine with that tree's Python 3.13 and libseccomp 2.6
# make check     formatting, lint, types, layers
# make test-booted those that need systemd, in that tree booted
# make test-guest, make conformance, make bench    see docs/
# make defences  takes each line of defence away and looks whether a test sees it; half an hour

PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
SCHEMA := pyoci/config/schema/table.py
ARGS ?=

SOURCES := $(shell find pyoci native spec meson.build meson_options.txt pyproject.toml tools/list_modules.py \
	tools/generate/schema_table.py tools/generate/pack.py tools/install -not -name '*.pyc' -not -name __pycache__ \
	-not -path 'pyoci/config/schema/table.py*' -not -path 'pyoci/config/schema/documents.py*' 2>/dev/null)
BUILD_PACKAGES := gcc libc6-dev libcap-dev libseccomp2 python3-dev python3-venv
TEST_PACKAGES := btrfs-progs busybox-static erofs-utils iproute2 libseccomp-dev pkg-config procps squashfs-tools strace \
	util-linux xfsprogs

# Tests wait as often as they work: one process more than there are processors. Each takes the next tests when it has
# done its own.
PARALLEL := -n $(shell expr $$(nproc) + 1) --dist worksteal

.PHONY: all runc demo test test-host test-tree test-booted test-new check defences test-guest conformance bench clean

all: $(BIN)/pyoci

$(VENV)/.base: pyproject.toml tools/setup
	tools/setup $(BUILD_PACKAGES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'meson-python>=0.15' meson ninja setuptools wheel
	touch $@

$(BIN)/pyoci: $(VENV)/.base $(SOURCES)
	tools/install $(VENV)
	touch $@

$(VENV)/.test: $(VENV)/.base pyproject.toml
	tools/setup $(TEST_PACKAGES)
	$(BIN)/python tools/requirements.py test check | xargs $(BIN)/python -m pip install -q
	touch $@

# What the differential tests compare with: the newest runc, built once (a minute or two), or $PYOCI_RUNC.
runc: $(VENV)/.test
	tools/runc

demo: all
	tools/setup busybox-static
	tools/demo $(BIN)/pyoci

test: test-host test-tree test-booted

test-host: all runc
	$(BIN)/python -m pytest $(PARALLEL) -m "not guest and not tree and not booted and not legacy" $(ARGS)

test-tree: all $(SCHEMA)
	tests/lanes/tree pytest -m tree $(ARGS)

test-booted: all $(SCHEMA)
	tests/lanes/booted pytest -m booted $(ARGS)

# Not again: the comparison with runc and with the schemas' origin, which are not there; races and sweeps of failures,
# which take minutes and ask the kernel, not the Python.
test-new: all $(SCHEMA)
	tests/lanes/tree pytest $(PARALLEL) -m "not guest and not tree and not booted and not legacy" \
		--ignore=tests/security --ignore=tests/spec --ignore=tests/container/test_killed.py \
		--ignore=tests/container/test_failures.py --ignore=tests/container/test_many.py $(ARGS)

# In the source tree for the tests and the type checker; an installation gets its own from the build.
$(SCHEMA): tools/generate/schema_table.py $(wildcard spec/*.json)
	$(PYTHON) tools/generate/schema_table.py spec pyoci/config/schema

check: $(VENV)/.test $(SCHEMA)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_sizes.py

# ARGS="keyring" for those with that in their name.
defences: $(VENV)/.test $(SCHEMA)
	$(BIN)/python -m tools.check_defences $(ARGS)

test-guest: all $(SCHEMA)
	tests/lanes/guest pytest -m 'guest or also_guest' $(ARGS)
	$(if $(ARGS),,tests/lanes/guest --cgroups v1 pytest -m legacy tests/systemd)

conformance: all
	conformance/run --lane host --expect $(ARGS)

bench: all
	tools/bench $(ARGS)

clean:
	rm -rf $(VENV) build

# Every target sets up what it needs by itself; `make setup` alone is never required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LABEL := demo/label.gpkg
# The Python that QGIS runs in; tests/qgis.sh makes .venv-qgis of it.
QGIS_PYTHON ?= /usr/bin/python3
export QGIS_PYTHON
# Tests run on all cores, but not on more than eight: each process holds torch, and each in QGIS has an engine.
PARALLEL := --numprocesses logical --maxprocesses 8 --dist worksteal
# The recipe of the shipped encoder: first views of a tile teach what it is, then those of its neighbours what is like it.
PRETRAIN = $(BIN)/python -m core pretrain "$(EUROSAT)" --method simclr --least-area 0.08 --most-area 0.6 \
	--brightness 0.4 --contrast 0.4 --tint 0.12 --holdout 0.2 --no-labels

.PHONY: help setup demo pictures qgis screenshots responsiveness test lint format bench encoder clean
.DEFAULT_GOAL := help

help:            ## what can be made
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

setup: $(READY)  ## make .venv with the engine and the developers' tools (once; about 5 GB)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Quadrat's engine needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@mkdir -p $(VENV)/package && ln -sfn ../.. $(VENV)/package/quadrat
	@touch $@

demo: $(READY)   ## make a landscape, label it by active learning, map it: see what Quadrat does
	$(BIN)/python -m core demo --out demo

pictures: demo   ## make the documentation's pictures again from the demo
	$(BIN)/python docs/make_pictures.py demo

$(LABEL): | $(READY)
	test -e demo/scene.tif || $(MAKE) demo
	rm -rf demo/label.quadrat
	$(BIN)/python -m core init $(LABEL) --classes demo/classes.csv
	$(BIN)/python -m core tile $(LABEL) demo/scene.tif --validation 0.1
	$(BIN)/python -m core embed $(LABEL)
	$(BIN)/python -m core query $(LABEL)

qgis:            ## open QGIS with the plugin and the demo's landscape ready to label
	@$(PYTHON) tests/desktop/desktop.py check
	@$(MAKE) $(LABEL)
	$(BIN)/python tests/desktop/desktop.py open project="$(CURDIR)/$(LABEL)"

screenshots: demo  ## make the documentation's pictures of QGIS again
	@tests/qgis.sh prepare
	$(BIN)/python tests/desktop/screenshots.py demo docs/images

responsiveness: $(READY)  ## measure in QGIS whether its window ever hangs: make responsiveness SCENE=big.tif
	@tests/qgis.sh prepare
	@test -e "$(SCENE)" || { echo "Name a large raster: make responsiveness SCENE=/path/to/scene.tif [FIRST=/path/to/small.tif]"; exit 2; }
	$(BIN)/python tests/desktop/desktop.py responsiveness --out build/responsiveness scene="$(SCENE)" first="$(FIRST)"

test: lint       ## lint, types, import rules and all tests, also those in QGIS
	@tests/qgis.sh prepare
	$(BIN)/python -m pytest $(PARALLEL)
	@tests/qgis.sh test $(PARALLEL)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/flake8 plugin __init__.py
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## put the code into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## measure speed on this machine, against the plain versions
	$(BIN)/python -m core bench
	$(BIN)/python -m core bench --scene

encoder: $(READY)  ## train the shipped encoder again (three hours on two cores with AMX): make encoder EUROSAT=eurosat_rgb.zip
	@test -e "$(EUROSAT)" || { echo "Name the EuroSAT patches, a folder or zip: make encoder EUROSAT=/path/to/eurosat_rgb.zip"; exit 2; }
	test -e build/encoders/views.safetensors || $(PRETRAIN) --out build/encoders/views.safetensors --epochs 200 --view 48
	$(PRETRAIN) --out build/encoders/quadrat-rgb.safetensors --epochs 80 --view 64 \
		--start build/encoders/views.safetensors --neighbours 10 --temperature 0.5
	$(BIN)/python -m core probe "$(EUROSAT)" --encoder build/encoders/quadrat-rgb.safetensors

clean:           ## remove everything that can be made again
	rm -rf $(VENV) .venv-qgis .qgis-settings demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

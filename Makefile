# `make` lists the targets. All of them make or renew the virtual environment first, where that is needed.

VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
TYPES := build/types/in21k
DEMO := build/demo
DOCS := build/docs
MUTATE := build/mutate
PACKAGES := prep train tree shards_manifest

# Demo training: a minute and a half on two busy CPU cores. The pictures are too plain for RandAugment.
DEMO_TRAIN := --model test_resnet --scratch --recipe semantic-softmax --epochs 12 --batch-size 32 --lr 5e-3 \
	--set data.randaugment_ops=0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help deps setup demo test test-guard test-slow mutate mutate-list lint format docs bench gpu lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: $(VENV)/.deps ## install the locked packages into .venv (PYTHON=… names the interpreter)

setup: $(VENV)/.ready ## the same, and the project itself, editable

$(VENV)/.deps: requirements/lock.txt requirements/pillow-simd.txt requirements/pillow.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/.ready: $(VENV)/.deps pyproject.toml
	@$(BIN)/python -m pip -qq --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@echo "setup: in21k-prep and in21k-train are in $(BIN)"
	@touch $@

demo: setup $(DEMO)/raw.tar ## draw a small dump, prepare it and train on it
	@rm -rf $(DEMO)/work $(DEMO)/dataset $(DEMO)/run
	$(BIN)/in21k-prep run $(DEMO)/raw.tar $(DEMO)/work $(DEMO)/dataset \
		--min-images 20 --val-per-class 8 --size 64 --samples-per-shard 200
	$(BIN)/in21k-train pretrain $(DEMO)/dataset $(DEMO_TRAIN) --output $(DEMO)/run
	@echo
	@echo "A raw dump was drawn, prepared, and trained on. Val semantic top-1, beside the majority guess, stands above."
	@echo "  raw dump    $(DEMO)/raw.tar"
	@echo "  dataset     $(DEMO)/dataset (shards, manifest, hierarchy, what was rejected)"
	@echo "  training    $(DEMO)/run (checkpoints, curves, summary)"
	@echo "Run next:"
	@echo "  $(BIN)/in21k-prep verify $(DEMO)/dataset"
	@echo "  $(BIN)/in21k-prep report $(DEMO)/dataset --output $(DEMO)/report    # then open report.html"
	@echo "  $(BIN)/tensorboard --logdir $(DEMO)/run"
	@echo "  $(BIN)/in21k-prep run fall11_whole.tar work/ imagenet21k/ --dry-run   # on the real thing"

$(DEMO)/raw.tar: $(wildcard prep/demo/*.py) | $(VENV)/.ready
	$(BIN)/in21k-prep demo $@

# Three processes for two cores, because a third of the time of some tests is waiting.
test: setup ## the everyday test suite
	@$(BIN)/python -m pytest -n 3 --dist worksteal -q

test-slow: setup ## the tests that the everyday suite leaves out, and more examples of every property
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "slow or property" --hypothesis-profile thorough

test-guard: setup ## those of them that guard data and resume: kills, signals, restarts, faults
	@$(BIN)/python -m pytest -n 3 --dist worksteal -q -m guard

# The tool plants the faults in a copy of the tree, and has an environment of its own: see docs/testing.md.
mutate: setup $(MUTATE)/.deps ## plant small faults and see which the tests notice (MODULE=tree/edges.py for one module)
	@$(MUTATE)/venv/bin/python scripts/mutate.py $(MODULE)

mutate-list: $(MUTATE)/.deps ## bring the list of those faults up to date after code has moved
	@$(MUTATE)/venv/bin/python scripts/mutate.py --renew

$(MUTATE)/.deps: requirements/mutate.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(MUTATE)/venv requirements/mutate.txt
	@touch $@

# The packages as in21k.*, and api/ as in21k itself, for tools that read sources and know nothing of setuptools' package-dir.
LINK_TYPES = mkdir -p $(TYPES); find $(TYPES) -type l -delete; ln -sfn $(patsubst %,../../../%,$(PACKAGES) $(wildcard api/*.py api/py.typed)) $(TYPES);

lint: setup ## formatting, style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(LINK_TYPES)
	@$(BIN)/mypy -p in21k

format: setup ## write what lint asks for, where ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# The site's pages are the repository's own, in folders as they are here, so that a link leads to the same page there and on a
# code host. Its tools read the sources and import nothing: they have a small environment of their own, without PyTorch.
PAGES := README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff Dockerfile LICENSE docs train/recipes tree/data/LICENSE-WordNet-3.0
docs: $(DOCS)/.deps ## build the documentation as a site, into build/docs/site
	@$(LINK_TYPES)
	@rm -rf $(DOCS)/pages
	@$(foreach page,$(PAGES),mkdir -p $(DOCS)/pages/$(dir $(page)); cp -R $(page) $(DOCS)/pages/$(page);)
	@$(DOCS)/venv/bin/python scripts/modules_page.py >$(DOCS)/pages/docs/modules.md
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/venv/bin/mkdocs build --strict
	@! grep -rlE '<(script|link|img)[^>]* (src|href)="?https?:' --include '*.html' $(DOCS)/site || \
		{ echo "docs: these pages load something from elsewhere" >&2; exit 1; }
	@echo "docs: open $(DOCS)/site/index.html (its search wants a server: python3 -m http.server --directory $(DOCS)/site)"

$(DOCS)/.deps: requirements/docs.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(DOCS)/venv requirements/docs.txt
	@touch $@

bench: setup ## run each benchmark in bench/
	@set -e; for script in bench/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

gpu: setup ## check and measure what only a GPU shows; the table goes to build/gpu.md (TIMM_TRAIN=train.py compares)
	@$(BIN)/python bench/gpu_check.py --device cuda --output build/gpu.md $(if $(TIMM_TRAIN),--timm-train $(TIMM_TRAIN))

# The versions in the lock stay where they still serve; remove requirements/lock.txt first to renew them all.
# No pillow in it: see scripts/setup.sh. For the two imaging backends the project's own override is out of place.
COMPILE = build/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: ## resolve requirements/ anew from pyproject.toml
	@python3 -m venv --clear build/lock
	@build/lock/bin/python -m pip -qq --disable-pip-version-check install $(UV)
	@$(COMPILE) --all-extras --no-emit-package pillow --output-file requirements/lock.txt pyproject.toml requirements/pins.in >/dev/null
	@$(COMPILE) --group docs --output-file requirements/docs.txt >/dev/null
	@$(COMPILE) --group mutate --output-file requirements/mutate.txt >/dev/null
	@echo pillow-simd==12.1.1.post0 | $(COMPILE) --no-config --output-file requirements/pillow-simd.txt - >/dev/null
	@echo pillow==12.1.1 | $(COMPILE) --no-config --output-file requirements/pillow.txt - >/dev/null
	@sed -i '1i # Made by `make lock`. Install with pip install --no-deps --require-hashes -r: see scripts/setup.sh for why.' \
		requirements/lock.txt requirements/docs.txt requirements/mutate.txt requirements/pillow-simd.txt requirements/pillow.txt
	@echo "lock: requirements/ is up to date"

clean: ## remove .venv, build/ and all caches
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find api $(PACKAGES) tests bench -name __pycache__ -prune -exec rm -rf {} +

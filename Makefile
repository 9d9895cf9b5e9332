.DEFAULT_GOAL := help
.PHONY: help setup run test check bench lock vendor

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv and install what requirements.lock names
	@sh setup.sh

run: setup ## Start everything here; then open the address it prints (Ctrl-C stops it)
	@set -a; if [ -f .env ]; then . ./.env; fi; set +a; exec .venv/bin/daogou run

test: setup ## Run all tests, with real PostgreSQL, Redis and a browser
	@sh tests/browser.sh
	@PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/.venv/bytecode" \
		.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: setup ## Lint, format, types and the import rule
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

bench: setup ## Run the benchmarks and print their ratios
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; .venv/bin/python "$$file"; done

lock: setup ## Renew requirements.lock from pyproject.toml
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
		--no-header --no-annotate --upgrade --quiet -o requirements.lock

vendor: ## Renew the front-end files under static/vendor (needs Node)
	@sh vendor.sh

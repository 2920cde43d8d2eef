# Short names for what contributors and packagers do. The scripts work without make.
# Each target makes the environment that it needs; `make` alone lists them.
.DEFAULT_GOAL := help
RUN := scripts/with-test

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo test test-slow check format
demo:  ## the whole chain on a drawn strip, until Ctrl-C
	scripts/demo

test:  ## format, lint, types and every test; installs what they need
	scripts/test

test-slow:  ## what is slow and rarely changes, all of it: deploy, systemd, every processor and label (an hour, root)
	$(RUN) python -m pytest -m slow

check:  ## format, lint, types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

format:  ## put the code into its format
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

.PHONY: schemas docs digests catalogs screenshots lock monitoring
schemas:  ## write inspector/schemas from inspector/messages.py
	$(RUN) python -m inspector.schema_files

docs:  ## write docs/reference, the man pages and the example from the code, and the models' figures
	$(RUN) python scripts/write_docs.py
	$(RUN) python scripts/write_manual.py
	$(RUN) python scripts/write_figures.py
	$(RUN) python scripts/write_mills.py

digests:  ## write tests/digests.json anew: the messages of recorded surfaces, to be reviewed as behaviour
	$(RUN) env PYTHONPATH=tests/support python tests/test_digests.py

catalogs:  ## write the catalogues of the pages' texts, and compile them
	$(RUN) python scripts/write_catalogs.py

screenshots:  ## take the pictures of docs/img anew: runs the demo, needs chromium
	$(RUN) python scripts/write_screenshots.py

lock:  ## resolve requirements/*.txt anew: hashes, no index addresses
	scripts/lock

monitoring:  ## write alert rules, dashboards and the tables of docs/monitoring.md from the code
	$(RUN) python -m deploy.monitoring.generate

.PHONY: faults
faults:  ## the whole fault suite (hours): tries every row, appends to tests/faults/results, prints the table
	$(RUN) python -m tests.faults
	$(RUN) python -m tests.faults --table

.PHONY: wheel deb sbom image
wheel:  ## dist/*.whl, the same bytes for the same files
	deploy/install/make-wheel.sh

deb:  ## dist/*.deb for the release this runs on, the same bytes for the same files
	file=$$(deploy/deb/build.sh) && echo $$file && { ! command -v lintian >/dev/null || lintian --allow-root $$file; }

sbom:  ## dist/*.cdx.json: everything that the package installs, and what is inside of it
	deploy/deb/sbom.sh

image:  ## build the container image with docker, podman or buildah
	deploy/docker/build.sh

.PHONY: test-deploy test-systemd
test-deploy:  ## the slow tests of deploy/ (root, npm, debootstrap, buildah)
	$(RUN) python -m pytest -m slow tests/deploy

test-systemd:  ## build the package and boot a real systemd with it (root, debootstrap, systemd-nspawn)
	$(RUN) python -m pytest -m 'slow or not slow' tests/test_units.py tests/test_deb.py tests/systemd

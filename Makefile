# Short names for what contributors and packagers do. The scripts work without make.
.PHONY: demo test check format lock schemas docs catalogs digests

demo: ; scripts/demo
test: ; scripts/test

check:  ## format, lint, types
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy

format: ; .venv/bin/ruff format . && .venv/bin/ruff check --fix .

schemas:  ## write inspector/schemas from inspector/messages.py
	.venv/bin/python -m inspector.messages

docs:  ## write docs/reference from the code, and the models' figures from training/results
	.venv/bin/python scripts/write_docs.py
	.venv/bin/python scripts/write_figures.py

digests:  ## write tests/digests.json anew: the messages of recorded surfaces, to be reviewed as behaviour
	.venv/bin/python tests/test_digests.py

catalogs:  ## write the catalogues of the pages' texts, and compile them
	.venv/bin/python scripts/write_catalogs.py

lock:  ## resolve requirements/*.txt anew: hashes, no index addresses
	scripts/lock

.PHONY: faults
faults:  ## the whole fault suite (hours): tries every row, appends to tests/faults/results, prints the table
	.venv-test/bin/python -m tests.faults
	.venv-test/bin/python -m tests.faults --table

.PHONY: monitoring image test-deploy
monitoring:  ## write alert rules, dashboards and the tables of docs/monitoring.md from the code
	.venv/bin/python -m deploy.monitoring.generate

image:  ## build the container image with docker, podman or buildah
	deploy/docker/build.sh

test-deploy:  ## the slow tests of deploy/: environment, image, Node-RED, Grafana's types, the compose schema (root, npm, debootstrap, buildah)
	.venv/bin/python -m pytest -m slow tests/deploy

.PHONY: wheel deb sbom test-systemd
wheel:  ## dist/*.whl, the same bytes for the same files
	deploy/install/make-wheel.sh

deb:  ## dist/*.deb for the release this runs on, the same bytes for the same files
	file=$$(deploy/deb/build.sh) && echo $$file && { ! command -v lintian >/dev/null || lintian --allow-root $$file; }

sbom:  ## dist/*.cdx.json: everything that the package installs, and what is inside of it
	deploy/deb/sbom.sh

test-systemd:  ## build the package and boot a real systemd with it (root, debootstrap, systemd-nspawn)
	.venv/bin/python -m pytest -m 'slow or not slow' tests/test_units.py tests/test_deb.py tests/systemd

"""Write the software bill of materials of an installed environment as CycloneDX JSON.

Lists every distribution, and what the wheels bundle: from the SBOMs that wheels carry themselves (PEP 770), from the
shared libraries beside them, from OpenCV's own build report, and from marks in LiteRT's binaries, which say what is
linked in but rarely in which version. The model bundles are components, too, by hash. The same environment gives the
same bytes (SOURCE_DATE_EPOCH). Runs in an environment of its own with deploy/deb/sbom.txt; see sbom.sh.

    sbom.py VENV OUTPUT
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

OPENCV_REPORT = {
    "libjpeg-turbo": r"JPEG: +build-libjpeg-turbo \(ver ([\d.]+)",
    "libwebp": r"WEBP: +build \(ver decoder: (\w+)",
    "libtiff": r"TIFF: +build \(ver \d+ - ([\d.]+)\)",
    "openjpeg": r"JPEG 2000: +build \(ver ([\d.]+)\)",
    "libavif": r"AVIF: +avif \(ver ([\d.]+)\)",
    "libpng": r"PNG: .*\(ver ([\d.]+)\)",
    "zlib": r"ZLib: .*\(ver ([\d.]+)\)",
    "protobuf": r"Protobuf: +build \(([\d.]+)\)",
    "flatbuffers": r"Flatbuffers: .*\(([\d.]+)\)",
    "Intel IPP": r"Intel IPP: +([\d.]+)",
    "Intel ITT": r"Intel ITT\(([\d.]+)\)",
    "MLAS": r"DNN MLAS: +(YES)",
}
"""What OpenCV links in, and where its build report states the version."""
LITERT_MARKS = {
    "TensorFlow Lite": rb"tflite",
    "XNNPACK": rb"XNNPACK",
    "pthreadpool": rb"pthreadpool",
    "cpuinfo": rb"cpuinfo",
    "ruy": rb"external/ruy",
    "gemmlowp": rb"gemmlowp",
    "Eigen": rb"Eigen",
    "FarmHash": rb"farmhash",
    "FlatBuffers": rb"flatbuffers",
    "protobuf": rb"com_google_protobuf",
    "abseil-cpp": rb"absl\d+lts_(\d{8})",
}
"""What LiteRT links in, by a mark in its binaries; a group is the version."""
FFMPEG = ("libavcodec", "libavformat", "libavutil", "libswscale", "libswresample", "libavfilter", "libavdevice")
PROJECTS = {"libcrypto": "OpenSSL", "libssl": "OpenSSL", "libgfortran": "GCC runtime", "libquadmath": "GCC runtime"}
PROJECTS |= dict.fromkeys(FFMPEG, "FFmpeg") | {"libopenblasp": "OpenBLAS", "libscipy_openblas": "OpenBLAS"}


def bundled(name: str, version: str | None, owner: str, how: str, purl: PackageURL | None = None) -> Component:
    """Return a component that a wheel brings along."""
    reference = f"{owner}#{how}:{name}@{version or ''}"
    facts = [Property(name="inspector:bundled-by", value=owner), Property(name="inspector:seen-in", value=how)]
    return Component(name=name, version=version, bom_ref=reference, purl=purl, properties=facts)


def own_sboms(dist: Distribution, folder: Path, owner: str) -> Iterator[Component]:
    """Yield what the wheel's own SBOMs list."""
    for file in sorted((folder / "sboms").glob("*.json")):
        seen = set()
        for row in json.loads(file.read_text(encoding="utf-8")).get("components", []):
            key = (row["name"], row.get("version"))
            if key in seen or row["name"].replace("_", "-").lower() == dist.name.replace("_", "-").lower():
                continue
            seen.add(key)
            purl = PackageURL.from_string(row["purl"]) if "purl" in row else None
            yield bundled(row["name"], row.get("version"), owner, file.name, purl)


def shared_libraries(site: Path, dist: Distribution, owner: str) -> Iterator[Component]:
    """Yield the libraries that auditwheel put beside the wheel, with the hash of each file."""
    for file in sorted((site / f"{dist.name.replace('-', '_')}.libs").glob("lib*.so*")):
        stem, _, version = file.name.partition(".so")
        name = re.sub(r"(-r0)?(-[0-9a-f]{8})+[.\d]*$", "", stem).rstrip("_-")
        name = re.sub(r"\d+$", "", name).rstrip("_-") if "openblas" in name else name
        told = version.strip(".") or None
        data = file.read_bytes()
        if match := re.search(rb"OpenBLAS (\d+\.\d+\.\d+)", data) or re.search(rb"OpenSSL (\d\.\d\.\d\w?) ", data):
            told = match[1].decode()
        part = bundled(PROJECTS.get(name, name), told, owner, file.name)
        part.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest()))
        yield part


def opencv_parts(venv: Path, owner: str) -> Iterator[Component]:
    """Yield what OpenCV's build report names."""
    program = "import cv2; print(cv2.getBuildInformation())"
    report = subprocess.run(
        (venv / "bin/python", "-I", "-c", program), capture_output=True, text=True, check=True
    ).stdout
    for name, pattern in OPENCV_REPORT.items():
        if match := re.search(pattern, report):
            yield bundled(name, match[1] if match[1] != "YES" else None, owner, "build report")


def litert_parts(site: Path, owner: str) -> Iterator[Component]:
    """Yield what LiteRT's binaries show to be linked in."""
    data = b"".join(file.read_bytes() for file in sorted((site / "ai_edge_litert").glob("lib*.so")))
    for name, pattern in LITERT_MARKS.items():
        if match := re.search(pattern, data):
            yield bundled(name, match[1].decode() if match.groups() else None, owner, "mark in the binary")


def model_bundles(site: Path) -> Iterator[Component]:
    """Yield the shipped models, by the hash of the file that the interpreter loads."""
    for card_file in sorted((site / "inspector/bundles").glob("*/card.json")):
        card = json.loads(card_file.read_text(encoding="utf-8"))
        hashes = [
            HashType(
                alg=HashAlgorithm.SHA_256,
                content=hashlib.sha256((card_file.parent / model["file"]).read_bytes()).hexdigest(),
            )
            for model in card["models"]
        ]
        yield Component(
            name=card["name"], version=card["version"], type=ComponentType.MACHINE_LEARNING_MODEL, hashes=hashes,
            bom_ref=f"model:{card['name']}", description=card.get("description"),
        )  # fmt: skip


def licence_of(dist: Distribution) -> str | None:
    """Return what the distribution says about its licence, in few words."""
    meta = dist.metadata
    told = meta.get("License-Expression") or meta.get("License")
    if told and len(told) < 80:
        return str(told)
    trove = [c.rsplit(" :: ", 1)[1] for c in meta.get_all("Classifier") or [] if c.startswith("License :: ")]
    return " AND ".join(sorted(set(trove))) or None


def describe(venv: Path) -> Bom:
    """Return the bill of materials of an environment."""
    (site,) = venv.glob("lib/python3*/site-packages")
    found = sorted(distributions(path=[str(site)]), key=lambda dist: dist.name.lower())
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "1700000000")), tz=UTC)
    bom = Bom()
    bom.metadata.timestamp = moment
    (root_dist,) = (dist for dist in found if dist.name == "inspector")
    root = Component(name="inspector", version=root_dist.version, type=ComponentType.APPLICATION, bom_ref="inspector")
    bom.metadata.component = root
    direct = []
    for dist in found:
        if dist is root_dist:
            continue
        purl = PackageURL("pypi", None, dist.name.lower().replace("_", "-"), dist.version)
        one = Component(name=dist.name, version=dist.version, purl=purl, bom_ref=str(purl))
        if licence := licence_of(dist):
            one.licenses.add(LicenseFactory().make_from_string(licence))
        folder = Path(str(dist._path))  # type: ignore[attr-defined]
        parts = [*own_sboms(dist, folder, one.name), *shared_libraries(site, dist, one.name)]
        if dist.name == "opencv-python-headless":
            parts += opencv_parts(venv, one.name)
        if dist.name.replace("_", "-") == "ai-edge-litert":
            parts += litert_parts(site, one.name)
        for part in (one, *parts):
            bom.components.add(part)
        bom.register_dependency(one, parts)
        direct.append(one)
    models = list(model_bundles(site))
    for model in models:
        bom.components.add(model)
    bom.register_dependency(root, [*direct, *models])
    listed = "\n".join(sorted(f"{c.bom_ref.value} {c.version}" for c in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, listed)
    return bom


def main(venv: Path, output: Path) -> int:
    """Write it, checked against the schema."""
    text = make_outputter(describe(venv), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.stderr.write(f"sbom.py: not valid CycloneDX: {error}\n")
        return 1
    output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

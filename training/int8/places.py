"""What the places of a tile look like, as further outputs of a file: `map` and `map_deep`.

They are the sums of blocks 12 and 14, int8, as the file computes them anyway (8 x 8 x 32 and 4 x 4 x 56 for width 0.35
at 128 px): the picture of its own good surface that a station learns is made of them (see `inspector.teach`). Nothing
is trained or converted for it. The file is only told to hand out two more of its tensors: at its end stand longer lists
of outputs, and the two references to the previous lists point there. Every other byte stays where it was, so the
network's other outputs are the previous ones, bit for bit, and `without_places` gives back the file that was measured.

A FlatBuffer's references count forward from where they stand, in bytes (https://flatbuffers.dev/internals/), so what
the longer lists refer to stands behind them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow.lite.python import schema_py_generated as schema

from training.errors import DataError

PLACES: Mapping[str, str] = {"map": "block_12_add", "map_deep": "block_14_add"}
"""The outputs' names, and the layer whose sum each is."""
_OUTPUTS_OF_GRAPH, _OUTPUTS_OF_SIGNATURE = 8, 6
"""Where a `SubGraph` and a `SignatureDef` keep their field `outputs`, from the schema of TensorFlow Lite."""
_END = b"inspector/places/1"
"""Stands at the end of a file with places, before its old length and the two previous references."""
_TRAILER = struct.Struct("<IIIII")


@dataclass(frozen=True, slots=True)
class _Graph:
    """What is needed of a file.

    Attributes:
        references: Where the two references to the lists of outputs stand, of the graph and of the signature.
        outputs: Tensor by name, in the signature's order.
        order: Tensors in the graph's order.
        sums: Tensor of each sum of `PLACES` that the graph computes, by output name.
    """

    references: tuple[int, int]
    outputs: dict[str, int]
    order: list[int]
    sums: dict[str, int]


def with_places(raw: bytes) -> bytes:
    """Return the file with the outputs `map` and `map_deep`; a file that has them is returned as it is.

    Raises:
        DataError: It is no MobileNetV2 of one graph and one signature, such as `quantize.convert` writes.
    """
    graph = _read(raw)
    if set(PLACES) <= set(graph.outputs):
        return raw
    if missing := sorted(set(PLACES) - set(graph.sums)):
        raise DataError(f"places: the network has no {', '.join(PLACES[name] for name in missing)} to hand out")
    start = -(-len(raw) // 4) * 4
    tail, at = _lists([*graph.order, *graph.sums.values()], {**graph.outputs, **graph.sums})
    trailer = [len(raw)]
    made = bytearray(raw.ljust(start, b"\0") + tail)
    for reference, begin in zip(graph.references, at, strict=True):
        trailer += [reference, *struct.unpack_from("<I", raw, reference)]
        struct.pack_into("<I", made, reference, start + begin - reference)
    return bytes(made) + _TRAILER.pack(*trailer) + _END


def without_places(raw: bytes) -> bytes:
    """Return the file as it was before `with_places`, byte for byte; one that it has not written as it is."""
    if not raw.endswith(_END):
        return raw
    length, *references = _TRAILER.unpack_from(raw, len(raw) - len(_END) - _TRAILER.size)
    made = bytearray(raw[:length])
    for place, before in zip(references[::2], references[1::2], strict=True):
        struct.pack_into("<I", made, place, before)
    return bytes(made)


def measured_sha256(raw: bytes) -> str:
    """Return the sha256 of the file without places: figures hold for it, with them or without."""
    return hashlib.sha256(without_places(raw)).hexdigest()


def _read(raw: bytes) -> _Graph:
    try:
        model = schema.Model.GetRootAs(raw, 0)
        graphs, signatures = model.SubgraphsLength(), model.SignatureDefsLength()
        if (graphs, signatures) != (1, 1):
            raise DataError(f"places: one graph and one signature are expected: {graphs} and {signatures}")
        graph, signature = model.Subgraphs(0), model.SignatureDefs(0)
        named = [signature.Outputs(i) for i in range(signature.OutputsLength())]
        return _Graph(
            (_field(graph, _OUTPUTS_OF_GRAPH), _field(signature, _OUTPUTS_OF_SIGNATURE)),
            {each.Name().decode(): each.TensorIndex() for each in named},
            [graph.Outputs(i) for i in range(graph.OutputsLength())],
            _sums(model, graph),
        )
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
    ) as exc:  # what its reader raises for other bytes
        raise DataError(f"places: not a file of TensorFlow Lite: {exc}") from exc


def _field(table: Any, slot: int) -> int:
    """Return where a table keeps the reference of one of its fields."""
    return int(table._tab.Pos + table._tab.Offset(slot))


def _sums(model: Any, graph: Any) -> dict[str, int]:
    """Return the tensors that the sums of `PLACES` write, by output name."""
    found: dict[str, int] = {}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) != schema.BuiltinOperator.ADD:
            continue
        tensor = int(operator.Outputs(0))
        layers = graph.Tensors(tensor).Name().decode()
        found |= {name: tensor for name, layer in PLACES.items() if layer in layers}
    return found


def _lists(order: list[int], outputs: Mapping[str, int]) -> tuple[bytes, tuple[int, int]]:
    """Return the two lists with all that the second refers to, and where in these bytes each begins.

    The second is a list of tables `TensorMap` (name, tensor), which share a description (a *vtable*): its own size, a
    table's size, and where in a table each field stands.
    """
    first = struct.pack(f"<I{len(order)}I", len(order), *order)
    tables = len(first) + 4 * (1 + len(outputs)) + 8
    names = tables + 12 * len(outputs)
    vtable, entries, texts, second = tables - 8, b"", b"", struct.pack("<I", len(outputs))
    for number, (name, tensor) in enumerate(outputs.items()):
        place = tables + 12 * number
        second += struct.pack("<I", place - (len(first) + len(second)))
        entries += struct.pack("<iII", place - vtable, names + len(texts) - (place + 4), tensor)
        text = name.encode()
        texts += struct.pack("<I", len(text)) + text.ljust(4 * (len(text) // 4 + 1), b"\0")
    return first + second + struct.pack("<4H", 8, 12, 4, 8) + entries + texts, (0, len(first))

"""Hostile files from valid ones: bytes changed anywhere, and values changed inside the formats."""

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Random = random.Random
ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
ODD_TEXTS = (
    b"null", b"NaN", b"1e999", b"-1", b"{}", b"[]", b'""', b"[" * 3000, b'{"a":' * 3000, b"a.", b"\x00",
    b"\xff\xfe",
    b"\x1b[31m", b"..", b"/etc/passwd", b"9" * 5000, b"\xed\xa0\x80", b",", b"\n", b"&a [*a]", b'"',
)  # fmt: skip
ODD_VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 2**70, lambda: 1e308, lambda: float("nan"),
    lambda: "", lambda: "..", lambda: "\x1b[31m", lambda: "\udce9", lambda: "a" * 5000, lambda: [],
    lambda: {},
    lambda: [[[]]], lambda: {"0": None}, lambda: ["a", 1, None], lambda: {"a": {"a": {}}}, lambda: _nest(200),
    lambda: _nest(3000), lambda: list(range(2000)), lambda: "model.safetensors.index.json",
)  # fmt: skip


def _nest(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def mutated(path: Path, chance: Random) -> None:
    """Change a valid file in place, by one to four changes of one sort.

    Args:
        path: of the file.
        chance: draws the changes.
    """
    inside = [change for pattern, change in INSIDE if re.search(pattern, path.name)]
    change = chance.choice(inside) if inside and chance.random() < 0.6 else _bytes
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        try:
            change(path, chance)
        except Exception:  # the change before left nothing that its format knows
            path.write_bytes(changed_bytes(path.read_bytes(), chance))


def _bytes(path: Path, chance: Random) -> None:
    path.write_bytes(changed_bytes(path.read_bytes(), chance))


def changed_bytes(data: bytes, chance: Random) -> bytes:
    """Bytes with one change: a bit, a number, a text, a piece that is cut, doubled, moved or drawn."""
    place, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8, 64, 512))
    start, end = data[:place], data[place + length :]
    match chance.randrange(8):
        case 0:
            bits = bytearray(data or b"\0")
            bits[min(place, len(bits) - 1)] ^= 1 << chance.randrange(8)
            return bytes(bits)
        case 1:
            number = struct.pack("<Q", chance.choice(ODD_NUMBERS))[: chance.choice((1, 2, 4, 8))]
            return data[:place] + number + data[place + len(number) :]
        case 2:
            return start + chance.choice(ODD_TEXTS) + data[place:]
        case 3:
            return start + end
        case 4:
            return start + data[place : place + length] * chance.choice((2, 3, 50)) + end
        case 5:
            return start
        case 6:
            return start + chance.randbytes(length) + end
        case _:
            other = chance.randrange(len(data) + 1)
            return start + data[other : other + length] + end


def changed_value(value: Any, chance: Random) -> Any:
    """A value of JSON with one of its parts changed, dropped, renamed or wrapped."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        rest = {name: part for name, part in value.items() if name != key}
        match chance.randrange(5):
            case 0:
                return rest
            case 1:
                return {**rest, chance.choice(("", "..", "\x1b[31m", "9", "a" * 2000)): value[key]}
            case _:
                return {**value, key: changed_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], changed_value(value[place], chance), *value[place + 1 :]]
    odd = chance.choice(ODD_VALUES)()
    return [odd, value] if chance.random() < 0.2 else odd


def _json(path: Path, chance: Random) -> None:
    path.write_text(json.dumps(changed_value(json.loads(path.read_text()), chance)))


def _safetensors(path: Path, chance: Random) -> None:
    """Change the header, or what is written in JSON inside its metadata."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    facts = header.get("__metadata__")
    if isinstance(facts, dict) and facts and chance.random() < 0.6:
        key = chance.choice(list(facts))
        try:
            facts[key] = json.dumps(changed_value(json.loads(facts[key]), chance))
        except ValueError:
            facts[key] = "{"
    else:
        name = chance.choice(list(header))
        if name != "__metadata__" and chance.random() < 0.5:
            header[name]["dtype"] = chance.choice(
                ("I8", "BOOL", "F8_E4M3", "U64", "C64", "F16", "BF16", "XX")
            )
        else:
            header = changed_value(header, chance)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def _archive(path: Path, chance: Random) -> None:
    """Change one file of a zip archive, and write whole checksums."""
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = chance.choice([name for name in files if name.endswith("data.pkl")] * 3 + list(files))
    if chance.random() < 0.1:
        del files[name]
    else:
        files[name] = changed_bytes(files[name], chance)
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in files.items():
            archive.writestr(each, data)


def _saved(path: Path, chance: Random) -> None:
    """Put tensors and keys of odd kinds beside the weights, or in their place."""
    import torch

    saved = torch.load(path, weights_only=True)
    weights = saved.get("state_dict", saved)
    odd = chance.choice((
        lambda: torch.ones(2, 3).to_sparse(), lambda: torch.ones(2, 3, dtype=torch.complex64),
        lambda: torch.ones(2, 3, device="meta"), lambda: torch.ones(2, 3).to(torch.float8_e4m3fn),
        lambda: torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8), lambda: torch.ones(0),
        lambda: torch.ones(2, 3, dtype=torch.int8), lambda: torch.ones(()),
        lambda: torch.ones(1).expand(2, 3),
        lambda: [torch.ones(2)], lambda: {1: torch.ones(2), "1": torch.ones(2)}, lambda: None, lambda: 2**80,
        lambda: torch.ones(2, 3).to_sparse_csr(),
    ))()  # fmt: skip
    place = chance.choice((weights, saved))
    place[chance.choice([*place, 7, "", "..", (1, 2), b"\xff", None, True, 1.5, "a" * 3000])] = odd
    torch.save(saved, path)


def _hdf5(path: Path, chance: Random) -> None:
    """Change, drop or replace one attribute, data set or link."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        place = chance.choice([file, *(file[name] for name in names)])
        if chance.random() < 0.4 and len(place.attrs):
            key = chance.choice(list(place.attrs))
            odd = chance.choice(
                ("", "{", "[[]]", "\x1b[31m", 3, -1.5, np.zeros(3), np.zeros((0,)), "9" * 3000)
            )
            del place.attrs[key]
            if chance.random() < 0.8:
                place.attrs[key] = odd
            return
        name = chance.choice(names)
        old = file[name]
        shape = old.shape if isinstance(old, h5py.Dataset) else (2,)
        del file[name]
        match chance.randrange(8):
            case 0:
                file[name] = chance.choice((1, "text", np.float32(1), np.zeros(0)))
            case 1:
                kind = chance.choice(("f4", "i8", "u1", "S3", "f8", "c16", "bool", h5py.ref_dtype))
                file.create_dataset(name, shape, kind)
            case 2:
                file.create_dataset(name, (*shape[:-1], 2 * shape[-1] + 1) if shape else (3,), "f8")
            case 3:
                file.create_dataset(name, (2**28,), "f8", chunks=(2**16,), compression="gzip")
            case 4:
                file.create_dataset(name, (4,), "f8", external=[("/etc/passwd", 0, 32)])
            case 5:
                file[name] = chance.choice((h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/"), file))
            case 6:
                file.create_group(name)
            case _:
                layout = h5py.VirtualLayout((4,), "f8")
                layout[:] = h5py.VirtualSource("/etc/passwd", "v", (4,))
                file.create_virtual_dataset(name, layout)


def _parquet(path: Path, chance: Random) -> None:
    """Change the features that `datasets` writes beside the columns."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    features = json.loads(table.schema.metadata[b"huggingface"])
    text = json.dumps(changed_value(features, chance)).encode()
    text = changed_bytes(text, chance) if chance.random() < 0.2 else text
    pq.write_table(table.replace_schema_metadata({b"huggingface": text}), path)


def _numpy(path: Path, chance: Random) -> None:
    """Change the header of an array: its shape and type."""
    header = chance.choice((
        {"shape": (2**20, 2**20), "descr": "<i8"}, {"shape": (-1, 4), "descr": "<i8"},
        {"shape": (4, 4), "descr": "|O"}, {"shape": (4, 4), "descr": "<f8"},
        {"shape": (0, 4), "descr": "<i8"},
    ))  # fmt: skip
    buffer = io.BytesIO()
    np.lib.format.write_array_header_2_0(buffer, {"fortran_order": False, **header})
    path.write_bytes(buffer.getvalue() + path.read_bytes()[-128:])


INSIDE: tuple[tuple[str, Callable[[Path, Random], None]], ...] = (
    (r"\.json$", _json),
    (r"\.safetensors$", _safetensors),
    (r"\.pt$", _archive),
    (r"\.pt$", _saved),
    (r"\.h5$", _hdf5),
    (r"\.parquet$", _parquet),
    (r"\.npy$", _numpy),
)

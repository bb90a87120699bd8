"""A second device that is none: its memory is the host's, its kernels are the CPU's, and it refuses as a GPU
does.

Code that runs on it to the CPU's numbers runs on a GPU too: tensors live on `seconddevice:0`, and an
operation that gets tensors of both devices raises. `counted` counts what makes a GPU wait, and the copies
from the host. The device is there while `present` lasts, so that no other test finds an accelerator.

It records its work as CUDA does (`Graph`), and has streams that wait for each other when they are told to. An
operation that reads what another stream may not have written yet raises.
"""

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from traceback import extract_stack
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

# torch gives every module and tensor a method of this name, which no network should have.
NAME = "seconddevice"
DEVICE = torch.device("privateuseone", 0)  # seconddevice:0, once it is registered
# The kinds of devices in DLPack's header, by which a storage changes its device and not its memory.
HOST_KIND, EXTENSION_KIND = 1, 12
ROOT = Path(__file__).parents[2]
# Operations whose result's size or value the host must know: a GPU's queue has to empty first.
WAITS = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim",
    "unique_consecutive", "unique_dim_consecutive", "is_nonzero", "equal", "repeat_interleave.Tensor",
    "bincount",
}  # fmt: skip
# Operations that autocast computes in its own type.
CAST = ("conv2d", "linear", "matmul", "mm", "bmm", "addmm", "scaled_dot_product_attention")
# Operations that take indices from the host too; they are copied.
TAKES_HOST_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}

# The bytes of what was recorded and never computed: not a number, if it is read as one.
UNWRITTEN = 0xFF

_state: dict[str, Any] = {"present": False, "float64": True, "counter": None, "graph": None, "most": None}


class Counted:
    """What happened on the device meanwhile.

    Attributes:
        waits, copies: how often the project waited for the device, and copied to it from the host.
        in_models: how often a network did either in its own forward.
        launches: operations that compute, and repetitions of recorded ones.
        recorded, repeated: how often work was recorded, and repeated.
        places: the lines that waited or copied, with how often.
    """

    def __init__(self) -> None:
        self.waits = self.copies = self.in_models = self.launches = self.recorded = self.repeated = 0
        self.places: Counter[str] = Counter()

    def wait(self, why: str) -> None:
        """Count a wait."""
        self.waits += self._met("wait", why)

    def copy(self, why: str) -> None:
        """Count a copy."""
        self.copies += self._met("copy", why)

    def _met(self, what: str, why: str) -> int:
        """1 for a line of the project, 0 for one of a network."""
        line = _line()
        self.places[f"{what} {line or 'in a network'} ({why})"] += 1
        self.in_models += line is None
        return int(line is not None)


@contextmanager
def counted() -> Iterator[Counted]:
    """Counts waits, copies and operations for as long as the context lasts."""
    before, counter = _state["counter"], Counted()
    _state["counter"] = counter
    try:
        yield counter
    finally:
        _state["counter"] = before


@contextmanager
def present(*, float64: bool = True) -> Iterator[torch.device]:
    """The second device is there, and is the accelerator of this machine.

    Args:
        float64: whether it computes in it.
    """
    register()
    _state.update(present=True, float64=float64)
    try:
        yield DEVICE
    finally:
        _state["present"] = False
        Stream.written.clear()  # addresses are used anew


@contextmanager
def memory_for(most: int) -> Iterator[None]:
    """An operation whose result takes more bytes than this runs out of memory."""
    before, _state["most"] = _state["most"], most
    try:
        yield
    finally:
        _state["most"] = before


def is_possible() -> bool:
    """Whether this torch can have a device that is written in Python."""
    from torch.utils import backend_registration

    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


class Stream:
    """A queue of operations; it sees what another one has done once it has waited for it."""

    ticks = 0
    current: "Stream"
    # By address: the stream that last wrote a piece of memory, and when.
    written: ClassVar[dict[int, tuple["Stream", int]]] = {}

    def __init__(self, device: Any = None) -> None:
        self.seen: dict[Stream, int] = {}

    def wait_stream(self, other: "Stream") -> None:
        self.seen |= {other: Stream.ticks}

    @classmethod
    def require_written(cls, tensors: list[Tensor]) -> None:
        """Refuse memory that another stream may not have written yet."""
        for tensor in tensors:
            stream, tick = cls.written.get(tensor.untyped_storage().data_ptr(), (cls.current, 0))
            if stream is not cls.current and cls.current.seen.get(stream, -1) < tick:
                raise RuntimeError("a stream reads memory that another one may not have written yet")

    @classmethod
    def write(cls, tensors: list[Tensor]) -> None:
        """Note which stream has written some memory."""
        cls.ticks += 1
        cls.written |= {tensor.untyped_storage().data_ptr(): (cls.current, cls.ticks) for tensor in tensors}


Stream.current = Stream()


@dataclass(frozen=True)
class _Held:
    """A tensor of recorded work: where it lies and how; its memory is kept for it, or is somebody else's."""

    storage: torch.UntypedStorage | None
    outside: StorageWeakRef | None
    like: Tensor

    @staticmethod
    def released(value: Any) -> Any:
        """The tensor of a note, if its memory is still there; any other value."""
        return value._tensor() if isinstance(value, _Held) else value

    def _tensor(self) -> Tensor:
        storage = self.storage
        if storage is None:
            assert self.outside is not None
            if self.outside.expired():
                raise RuntimeError("recorded work reads memory that was freed")
            storage = torch.UntypedStorage._new_with_weak_ptr(self.outside.cdata)
        with torch.inference_mode(self.like.is_inference()):
            return _tensor(storage, self.like)


class Graph:
    """Operations with the memory that they read and write, as `torch.cuda.CUDAGraph` has them.

    While they are recorded nothing is computed: whatever was there before is as before, and what is new is
    no number. Memory from before is not kept for them.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.own: dict[int, torch.UntypedStorage] = {}
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self.outside: dict[int, torch.UntypedStorage] = {}
        self.given_pool: Any = None

    def capture_begin(self, pool: Any = None) -> None:
        self.given_pool = pool or object()
        _state["graph"] = self

    def capture_end(self) -> None:
        _state["graph"] = None
        for storage in self.own.values():
            _bytes(storage).fill_(UNWRITTEN)
        for storage, before in self.before.values():
            _bytes(storage).copy_(_bytes(before))
        self.before.clear()
        self.outside.clear()
        _count("recorded")

    def pool(self) -> Any:
        return self.given_pool

    def record(self, operation: Any, args: Any, options: Any) -> Any:
        """Run an operation for the shape of its result, and keep it."""
        for tensor in _tensors(_written(operation._schema, args, options)):
            storage = tensor.untyped_storage()
            address = storage.data_ptr()
            if address not in self.own and address not in self.before and storage.nbytes():
                self.before[address] = storage, _host_copy(storage)
        held = self._held((args, list(options.values())))
        result = _computed(operation, *args, **options)
        for tensor in _tensors((result,)):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.outside and storage.nbytes():
                self.own[storage.data_ptr()] = storage
        self.calls.append((operation, held, list(options), self._held((result,))))
        return result

    def _held(self, values: Any) -> Any:
        """The values with a note in place of each tensor of the device."""

        def held(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.device != DEVICE:
                return value
            storage = value.untyped_storage()
            like = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
            like = like.as_strided(value.shape, value.stride(), value.storage_offset())
            if storage.data_ptr() in self.own or not storage.nbytes():
                return _Held(storage, None, like)
            self.outside[storage.data_ptr()] = storage  # meanwhile no address is used anew
            return _Held(None, StorageWeakRef(storage), like)

        return _mapped(values, held)

    def replay(self) -> None:
        _count("launch")
        _count("repeated")
        for operation, held, names, results in self.calls:
            args, options = _mapped(held, _Held.released)
            if not _launches_nothing(operation._schema):
                Stream.require_written(_of_second((args, options)))
            given = _computed(operation, *args, **dict(zip(names, options, strict=True)))
            targets = _tensors(_mapped(results, _Held.released))
            for target, value in zip(targets, _tensors((given,)), strict=True):
                if target.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():
                    _on_host(target).copy_(_on_host(value))
            Stream.write(targets)


class _Module(ModuleType):
    """What torch asks of a device, as `torch.cuda` answers it."""

    generator = torch.Generator()
    Stream, CUDAGraph = Stream, Graph

    def current_stream(self, device: Any = None) -> Stream:
        return Stream.current

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, Stream.current = Stream.current, stream
        try:
            yield
        finally:
            Stream.current = before

    @contextmanager
    def graph(self, graph: Graph, pool: Any = None, stream: Any = None) -> Iterator[None]:
        """As `torch.cuda.graph`: where something fails in between, the stream is not set back."""
        self.synchronize()
        Stream.current = stream
        graph.capture_begin(pool)
        try:
            yield
        finally:
            graph.capture_end()

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        yield

    def is_available(self) -> bool:
        return bool(_state["present"])

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def _lazy_init(self) -> None: ...

    def device_count(self) -> int:
        return int(_state["present"])

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None: ...

    def synchronize(self, device: Any = None) -> None:
        _count("wait", "synchronize")

    def manual_seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, device: Any = None) -> Tensor:
        return self.generator.get_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        self.generator.set_state(state)

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        return 2**32, 2**33

    def memory_reserved(self, device: Any = None) -> int:
        return 0

    memory_allocated = memory_reserved

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@cache
def register() -> list[torch.library.Library]:
    """Registers the device with torch, once in a process and before its first backward pass.

    The first pass makes a queue for each device that there is then.
    """
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, _Module(NAME))
    torch.UntypedStorage.clone = _cloned(torch.UntypedStorage.clone)
    fallback, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    fallback.fallback(_run, "PrivateUse1")
    for name in ("convolution_overrideable", "convolution_backward_overrideable"):
        host = getattr(torch.ops.aten, name.replace("_overrideable", "")).default
        own.impl(name, _instead(host, name), "PrivateUse1")
    as_it_is = torch.library.Library("_", "IMPL")
    as_it_is.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in CAST:
        own.impl(name, _cast(getattr(torch.ops.aten, name).default), "AutocastPrivateUse1")
    return [fallback, own, as_it_is]


def _cast(operation: Any) -> Callable[..., Any]:
    """An operation on numbers of autocast's type."""

    def run(*args: Any, **options: Any) -> Any:
        dtype = torch.get_autocast_dtype(NAME)
        cast = [
            each.to(dtype) if isinstance(each, Tensor) and each.is_floating_point() else each for each in args
        ]
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet("AutocastPrivateUse1")):
            return operation(*cast, **options)

    return run


def _cloned(clone: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a storage, as `copy.deepcopy` asks for; torch has no allocator for the device."""

    def copied(storage: torch.UntypedStorage) -> Any:
        if storage.device != DEVICE:
            return clone(storage)
        return _storage(_storage(storage, DEVICE, HOST_KIND).clone(), torch.device("cpu"), EXTENSION_KIND)

    return copied


def _instead(operation: Any, name: str) -> Callable[..., Any]:
    """An operation that torch leaves to devices, by the CPU's of another name."""

    def run(*args: Any) -> Any:
        if "backward" in name:  # the CPU's takes the sizes of the bias before the window
            gradients, inputs, weight, *window, mask = args
            bias = [weight.shape[1] * window[-1] if window[3] else weight.shape[0]]
            return _run(operation, gradients, inputs, weight, bias, *window, mask)
        return _run(operation, *args)

    return run


def _run(operation: Any, *args: Any, **options: Any) -> Any:
    """Runs one operation now, or records it."""
    graph: Graph | None = _state["graph"]
    if graph is not None:
        return graph.record(operation, args, options)
    if _launches_nothing(operation._schema):
        return _computed(operation, *args, **options)
    _count("launch")
    Stream.require_written(_of_second((args, list(options.values()))))
    result = _computed(operation, *args, **options)
    Stream.write(_of_second((result, _written(operation._schema, args, options))))
    return result


def _launches_nothing(schema: Any) -> bool:
    """Whether an operation gives another view of memory, or new memory without numbers."""
    if schema.name.removeprefix("aten::") in ("empty", "empty_strided", "set_"):
        return True
    views = [each.alias_info is not None and not each.alias_info.is_write for each in schema.returns]
    return bool(views) and all(views)


def _computed(operation: Any, *args: Any, **options: Any) -> Any:
    """Runs one operation on the memory of its tensors, after the checks of a device."""
    name = operation._schema.name.removeprefix("aten::")
    overload = f"{name}.{operation._schema.overload_name}"
    if name == "_copy_from":
        return _copy(*args[:2])
    if overload == "set_.source_Storage_storage_offset":
        return _set_to(*args, *([],) * (5 - len(args)))  # torch leaves out what is empty
    if overload == "set_.source_Storage":
        return _set_to(*args, 0, [args[1].nbytes() // args[0].itemsize], [1])
    _require_one_device(name, args, options)
    if not _state["float64"] and options.get("dtype") is torch.float64:
        raise TypeError(f"{DEVICE} has no float64")
    if name in WAITS or overload in WAITS:
        _count("wait", name)
    if name in TAKES_HOST_INDICES and any(
        isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
    ):
        _count("wait", "boolean index")
    with _own_generator(operation):
        result = operation(
            *_with_tensors(operation._schema, _on_host(args)),
            **{name: _on_host(option) for name, option in options.items()},
        )
    if _state["most"] is not None and any(each.nbytes > _state["most"] for each in _tensors((result,))):
        raise torch.OutOfMemoryError(f"{DEVICE} out of memory")
    return _of_device(operation._schema, args, options, result)


def _copy(source: Tensor, target: Tensor) -> Tensor:
    if source.device != DEVICE and source.numel():
        _count("copy", "from the host")
    if target.device != DEVICE:
        _count("wait", "to the host")
    _on_host(target).copy_(_on_host(source))
    return target


def _require_one_device(name: str, args: Any, options: Any) -> None:
    """Refuses tensors of the host beside those of the device; single numbers may come from there."""
    for tensor in _tensors((args, *options.values())):
        if tensor.device == DEVICE or not tensor.ndim:
            continue
        if name not in TAKES_HOST_INDICES or tensor is args[0]:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} "
                f"and {tensor.device}! (in {name})"
            )
        _count("copy", "an index of the host")


@contextmanager
def _own_generator(operation: Any) -> Iterator[None]:
    """The device draws from a generator of its own."""
    if torch.Tag.nondeterministic_seeded not in operation.tags:
        yield
        return
    host = torch.get_rng_state()
    torch.set_rng_state(_Module.generator.get_state())
    try:
        yield
    finally:
        _Module.generator.set_state(torch.get_rng_state())
        torch.set_rng_state(host)


def _on_host(values: Any) -> Any:
    """The values with each tensor and name of the device in terms of the host."""

    def host(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not isinstance(value, Tensor) or value.device != DEVICE:
            return value
        if not value.numel():  # an operation may give an empty output its size
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
        return _tensor(_storage(value.untyped_storage(), value.device, HOST_KIND), value)

    return _mapped(values, host)


def _with_tensors(schema: Any, args: tuple[Any, ...]) -> list[Any]:
    """The arguments of an operation; torch hands on a number where the operation takes a tensor."""
    return [
        torch.tensor(value)
        if isinstance(value, int | float | complex) and str(parameter.type) == "Tensor"
        else value
        for value, parameter in zip(args, schema.arguments, strict=False)
    ]


def _of_device(schema: Any, args: Any, options: Any, result: Any) -> Any:
    """The result on the device: an argument that was written into is itself, a view shares its memory."""
    written = _written(schema, args, options)
    sources = {
        tensor.untyped_storage().data_ptr(): tensor
        for tensor in _tensors((args, *options.values()))
        if tensor.device == DEVICE and tensor.untyped_storage().nbytes()
    }

    def device(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        own = value.untyped_storage()
        source = sources.get(own.data_ptr())
        if source is None:
            return _tensor(_storage(own, value.device, EXTENSION_KIND), value)
        with torch.inference_mode(source.is_inference()):  # a view is of its source's kind
            return _tensor(source.untyped_storage(), value)

    if written and len(schema.returns) and all(each.alias_info is not None for each in schema.returns):
        outputs = _tensors(written)
        for target, value in zip(outputs, _tensors((result,)), strict=False):
            if target.shape != value.shape:  # an output that the operation gave its size
                moved = device(value)
                _set(target, moved.untyped_storage(), moved)
        return outputs[0] if len(schema.returns) == 1 else tuple(outputs)
    return _mapped(result, device)


def _written(schema: Any, args: Any, options: Any) -> list[Any]:
    """The arguments that an operation writes into; the last one of a copy."""
    if schema.name == "aten::_copy_from":
        return [args[1]]
    given = [
        args[place] if place < len(args) else options.get(argument.name)
        for place, argument in enumerate(schema.arguments)
    ]
    return [
        value
        for value, argument in zip(given, schema.arguments, strict=True)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


def _mapped(values: Any, change: Callable[[Any], Any]) -> Any:
    """The same lists and tuples with each member changed."""
    if isinstance(values, list | tuple):
        return type(values)([_mapped(value, change) for value in values])
    return change(values)


def _tensors(values: Any) -> list[Tensor]:
    """All tensors in lists and tuples, from the first to the last."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _of_second(values: Any) -> list[Tensor]:
    """The tensors among them that lie on the device."""
    return [tensor for tensor in _tensors(values) if tensor.device == DEVICE]


def _bytes(storage: torch.UntypedStorage) -> Tensor:
    """The memory of a storage of either device, for the host."""
    if storage.device == DEVICE:
        storage = _storage(storage, DEVICE, HOST_KIND)
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _host_copy(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    return _bytes(storage).clone().untyped_storage()


class _Header(ctypes.Structure):
    """The start of DLPack's tensor: where its memory is, and on which device."""

    _fields_ = (("data", ctypes.c_void_p), ("kind", ctypes.c_int32), ("number", ctypes.c_int32))


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _storage(storage: torch.UntypedStorage, device: torch.device, kind: int) -> torch.UntypedStorage:
    """The same memory as a storage of the other device; it keeps the first alive."""
    flat = torch.empty(0, dtype=torch.uint8) if device.type == "cpu" else _empty(torch.uint8)
    _set_to(flat, storage, 0, (storage.nbytes(),), (1,))
    capsule = torch.utils.dlpack.to_dlpack(flat)
    _Header.from_address(_pointer(capsule, b"dltensor")).kind = kind
    moved: Tensor = torch.utils.dlpack.from_dlpack(capsule)
    return moved.untyped_storage()


def _tensor(storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    """A tensor in a storage, with the type, shape and strides of another."""
    empty = torch.empty(0, dtype=like.dtype) if storage.device.type == "cpu" else _empty(like.dtype)
    return _set(empty, storage, like)


def _empty(dtype: torch.dtype) -> Tensor:
    made: Tensor = torch._C._acc.create_empty_tensor((0,), dtype)
    return made


def _set(tensor: Tensor, storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    return _set_to(tensor, storage, like.storage_offset(), like.shape, like.stride())


def _set_to(tensor: Tensor, storage: torch.UntypedStorage, offset: int, shape: Any, strides: Any) -> Tensor:
    """Gives a tensor its memory; the CPU's kernel for this serves every device."""
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    operation = torch.ops.aten.set_.source_Storage_storage_offset
    made: Tensor = operation.redispatch(keys, tensor, storage, offset, list(shape), list(strides))
    return made


def _count(what: str, why: str = "") -> None:
    counter: Counted | None = _state["counter"]
    if _state["graph"] is not None and what in ("wait", "copy"):
        raise RuntimeError(f"operation not permitted when stream is capturing ({why})")
    if counter is None:
        return
    if what in ("launch", "recorded", "repeated"):
        name = {"launch": "launches"}.get(what, what)
        setattr(counter, name, getattr(counter, name) + 1)
    else:
        getattr(counter, what)(why)


def _line() -> str | None:
    """The innermost line of the project on the stack; None where a module's forward is further in."""
    for frame in reversed(extract_stack()):
        path = Path(frame.filename)
        parts = path.relative_to(ROOT).parts if path.is_relative_to(ROOT) else ()
        if frame.name == "_call_impl":
            return None
        if parts and parts[0] not in ("tests", ".venv"):
            return f"{path.relative_to(ROOT)}:{frame.lineno} {frame.name}"
    return "elsewhere"

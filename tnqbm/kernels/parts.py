"""Functions that kernels are made of, compiled as parts of each kernel and not for themselves.

Numba optimises a function that a compiled one calls, makes machine code of it, and wraps it for
Python, before it copies its code into the caller, where all of that is done again. A loop over
``prange`` adds three more copies of its body. A :func:`part` is only translated; optimisation and
machine code come once, with the kernel that needs it. :func:`parallel_over` makes a kernel that
runs a part in parallel, without further copies.

Parts borrow arrays. Numba would count the references to each of them in every call of a function
and for every view, with atomic operations that threads contend for. So a part makes no arrays, and
the views that it returns are for other parts alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Flags, compile_extra
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from tnqbm.kernels.cache import own_name
from tnqbm.kernels.parallel import OPTIONS, njit

_ONLY_TRANSLATED = {
    "nopython": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


class _PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that is only there to be linked into that of kernels."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.linked: dict[Any, None] = {}

    def add_linking_library(self, library: Any) -> None:
        super().add_linking_library(library)
        self.linked[library] = None

    def use_threads(self) -> None:
        """Have threads started before the machine code is loaded."""
        self._reload_init.add(launch_threads)

    def finalize(self) -> None:
        self._finalized = True


class _Translated(NamedTuple):
    """A part for some types of arguments."""

    library: Any
    fndesc: Any
    signature: Any

    def link(self, context: Any) -> None:
        """Make this part, and those it calls, parts of what is being compiled."""
        into = context.active_code_library
        for library in (self.library, *self.library.linked):
            into.add_linking_library(library)


class _Part:
    """Translates a function for types of arguments, once for each."""

    def __init__(self, function: Any, options: Mapping[str, Any]) -> None:
        own_name(function)
        self.names = tuple(inspect.signature(function).parameters)
        self.noalias = False
        self._function = function
        self._options = {**_ONLY_TRANSLATED, **options}
        self._translated: dict[Any, _Translated] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For the keys of Numba's cache, where code of other packages is made of parts."""
        return vars(self) | {"_translated": {}}

    def translated(self, args: tuple[Any, ...]) -> _Translated:
        """The function for these types of arguments."""
        if args not in self._translated:
            context = cpu_target.target_context
            flags = Flags()
            cpu_target.options.parse_as_flags(flags, dict(self._options))
            flags.no_compile, flags.noalias = True, self.noalias
            library = _PartLibrary(context.codegen(), self._function.__qualname__)
            made = compile_extra(
                cpu_target.typing_context, context, self._function, args, None, flags, {}, library
            )
            self._translated[args] = _Translated(library, made.fndesc, made.signature)
        return self._translated[args]


def part(*functions: Any, **options: Any) -> Any:
    """A function that kernels call, and Python cannot.

    ``options`` are those of ``numba.njit``, ``fastmath`` for one. The function has no parameters
    with defaults, none with a star, does not call itself, and makes no arrays.
    """

    def decorate(function: Any) -> Any:
        own = _Part(function, options)

        def definition(typingctx: Any, *args: Any) -> Any:
            found = own.translated(args)

            def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                if context.enable_nrt and _has_arrays(found.signature.return_type):
                    raise TypeError(
                        f"the part {function.__qualname__} returns arrays, which only parts may "
                        "take: they are borrowed"
                    )
                found.link(context)
                return context.call_internal(builder, found.fndesc, found.signature, values)

            return found.signature, codegen

        context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(function).parameters.values()
        definition.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        definition.__name__ = function.__name__
        definition.__qualname__ = function.__qualname__
        definition.__doc__ = function.__doc__
        handle = intrinsic(definition)
        handle.py_func = function
        handle.own = own
        return handle

    return decorate(functions[0]) if functions else decorate


def _has_arrays(kind: Any) -> bool:
    if isinstance(kind, types.BaseTuple):
        return any(map(_has_arrays, kind))
    return isinstance(kind, types.Array)


_KERNEL = """
def make(body, count):
    def kernel({names}):
        _for_each(body, count, ({names},))
    return kernel
"""


def parallel_over(count: Any) -> Any:
    """Decorator: a kernel that runs a function of (task, *arguments) in parallel over its tasks.

    The kernel is called without the task, which goes from 0 to ``count(...)`` - 1. ``count`` has
    parameters of the function's, by name. Every thread gets consecutive tasks, as many as the
    others. As a part, the function makes no arrays. No array that a task writes to may overlap
    another, unless both are read and written element by element.
    """

    def decorate(function: Any) -> Any:
        # As in a loop over prange: without it short loops over several arrays are not made vectors.
        body = part(function)
        body.own.noalias = True
        count.__qualname__ = f"{function.__qualname__}.count"
        names = ", ".join(body.own.names[1:])
        # Numba has no other way to a function with given parameters; with *args calls take longer.
        space: dict[str, Any] = {"_for_each": _for_each}
        exec(_KERNEL.format(names=names), space)
        kernel = space["make"](body, part(count))
        kernel.__module__, kernel.__doc__ = function.__module__, function.__doc__
        kernel.__name__ = function.__name__
        kernel.__qualname__ = function.__qualname__
        # Where Numba's cache looks for it.
        code = function.__code__
        kernel.__code__ = kernel.__code__.replace(
            co_filename=code.co_filename, co_firstlineno=code.co_firstlineno, co_name=code.co_name
        )
        return njit(**OPTIONS)(kernel)

    return decorate


def launch_threads() -> None:
    """Start Numba's threads: machine code that uses them cannot be loaded before."""
    from numba.np.ufunc.parallel import _launch_threads

    _launch_threads()


@intrinsic  # type: ignore[untyped-decorator]
def _for_each(typingctx: Any, body: Any, count: Any, args: Any) -> Any:
    """Call the part ``body(task, *args)`` for every task, in parallel."""
    each, counting = body.typing_key.own, count.typing_key.own
    found = each.translated((types.intp, *args))
    places = [each.names.index(name) - 1 for name in counting.names]
    counted = counting.translated(tuple(args[place] for place in places))

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        launch_threads()
        found.library.use_threads()
        found.link(context)
        counted.link(context)
        given = cgutils.unpack_tuple(builder, values[2])
        total = context.call_internal(
            builder, counted.fndesc, counted.signature, [given[place] for place in places]
        )
        # What threads share: number of tasks and of threads, whether a task failed, arguments.
        word = context.get_value_type(types.intp)
        kept = ir.LiteralStructType([word, word, word, values[2].type])
        shared = cgutils.alloca_once(builder, kept)
        threads = builder.call(_outside(builder, "get_num_threads", word, []), [])
        for k, value in enumerate((total, threads, word(0), values[2])):
            builder.store(value, cgutils.gep_inbounds(builder, shared, 0, k))
        _run(builder, _work(context, builder, found, args, kept), shared, threads)
        failed = builder.load(cgutils.gep_inbounds(builder, shared, 0, 2))
        with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, failed)):
            message = "a task of a parallel kernel failed; was there no memory for its arrays?"
            context.call_conv.return_user_exc(builder, RuntimeError, (message,))
        return context.get_dummy_value()

    return types.void(body, count, args), codegen


_BYTES = ir.IntType(8).as_pointer()


def _outside(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """A function of Numba's threading layer."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, args), name)


def _work(context: Any, builder: Any, found: _Translated, args: Any, kept: Any) -> Any:
    """The function that does a thread's share of the tasks, which the threading layer calls.

    It is given where its share begins, in ``args[0]`` as a number, and how many shares to do.
    """
    word = context.get_value_type(types.intp)
    numbers = word.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [_BYTES.as_pointer(), numbers, numbers, _BYTES])
    name = builder.module.get_unique_name(f"{found.fndesc.mangled_name}.share")
    work = ir.Function(builder.module, kind, name=name)
    work.linkage = "internal"
    inner = ir.IRBuilder(work.append_basic_block())
    starts, counts, _, data = work.args
    shared = inner.bitcast(data, kept.as_pointer())
    tasks, threads = (inner.load(cgutils.gep_inbounds(inner, shared, 0, k)) for k in (0, 1))
    packed = inner.load(cgutils.gep_inbounds(inner, shared, 0, 3))
    values = cgutils.unpack_tuple(inner, packed, len(args))
    share = inner.ptrtoint(inner.load(starts), word)
    after = inner.add(share, inner.load(counts))
    first, last = (inner.sdiv(inner.mul(tasks, k), threads) for k in (share, after))
    with cgutils.for_range_slice(inner, first, last, word(1), word) as (task, _):
        status, _ = context.call_internal_no_propagate(
            inner, found.fndesc, found.signature, (task, *values)
        )
        with cgutils.if_unlikely(inner, status.is_error):
            inner.store(word(1), cgutils.gep_inbounds(inner, shared, 0, 2))
    inner.ret_void()
    return work


def _run(builder: Any, work: Any, shared: Any, threads: Any) -> None:
    """Have the threading layer do one share with every thread."""
    word = threads.type
    starts = cgutils.alloca_once_value(builder, _BYTES(None))
    counts = cgutils.alloca_once_value(builder, threads)
    steps = cgutils.alloca_once_value(builder, word(1))
    run = _outside(builder, "numba_parallel_for", ir.VoidType(), [_BYTES] * 5 + [word] * 3)
    pointers = [builder.bitcast(x, _BYTES) for x in (work, starts, counts, steps, shared)]
    builder.call(run, [*pointers, word(0), word(1), threads])

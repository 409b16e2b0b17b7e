"""LLVM IR to machine code in this process. Compiled once for each text, shared, and kept until the process ends."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..codegen.functions import Function, module
from ..errors import DependencyError

_lock = threading.RLock()
_compiled: dict[str, Compiled] = {}
_engines: list[Any] = []  # an engine frees its code when collected

# Nobody compiles while the process forks: the child would inherit LLVM's locks held.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

Entry = Callable[[int, int], None]


@dataclass(frozen=True)
class Compiled:
    """Entry points of a kernel. `run(job, scratch)` takes chunks until none is left; `finish(job)` adds up partial
    sums; `step(job, scratch)` is both on one thread. They release the GIL."""

    run: Entry
    finish: Callable[[int], None]
    step: Entry
    assembly: Callable[[], str]


def compile_ir(text: str) -> Compiled:
    """Machine code of a module's text, from the cache if this process compiled it before."""
    found = _compiled.get(text)
    if found is None:
        with _lock:
            found = _compiled.get(text)
            if found is None:
                found = _compiled[text] = _compile(text)
    return found


def compiled_count() -> int:
    """How many modules this process has compiled."""
    return len(_compiled)


def _llvm() -> Any:
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise DependencyError(
            "the native engine needs llvmlite: pip install llvmlite, or bind with engine='reference'"
        ) from error
    return llvm


def compile_function(text: str, name: str, *kinds: Any) -> Callable[..., None]:
    """One function of a module that is no kernel, on arguments of kinds of ctypes. It releases the GIL."""
    with _lock:
        return ctypes.CFUNCTYPE(None, *kinds)(_load(text).get_function_address(name))


def compile_written(*functions: Function) -> dict[str, Callable[..., None]]:
    """Functions that `codegen.functions` wrote, by name; arrays are given as addresses. They release the GIL."""
    of_type = {"ptr": ctypes.c_void_p, "i64": ctypes.c_int64}
    with _lock:
        engine = _load(module(*functions))
        return {
            f.name: ctypes.CFUNCTYPE(None, *(of_type[p.type] for p in f.parameters))(
                engine.get_function_address(f.name)
            )
            for f in functions
        }


def host_features() -> tuple[str, set[str]]:
    """The architecture that LLVM compiles for here, and what this processor has of it."""
    llvm = _llvm()
    present = {name for name, is_there in llvm.get_host_cpu_features().items() if is_there}
    return llvm.get_default_triple().partition("-")[0], present


def _load(text: str) -> Any:
    llvm = _llvm()
    machine = _target_machine(llvm)
    module = _optimised(llvm, text, machine)
    engine = llvm.create_mcjit_compiler(module, machine)  # takes ownership of the machine
    engine.finalize_object()
    _engines.append(engine)
    return engine


def _compile(text: str) -> Compiled:
    engine = _load(text)
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    single = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    return Compiled(
        run=entry(engine.get_function_address("run")),
        finish=single(engine.get_function_address("finish")),
        step=entry(engine.get_function_address("step")),
        assembly=lambda: assembly(text),
    )


def optimised(text: str) -> str:
    """The module after LLVM's passes, as text."""
    llvm = _llvm()
    with _lock:
        return str(_optimised(llvm, text, _target_machine(llvm)))


def assembly(text: str) -> str:
    """The machine code of this processor, as text."""
    llvm = _llvm()
    with _lock:
        machine = _target_machine(llvm)
        return str(machine.emit_assembly(_optimised(llvm, text, machine)))


def _target_machine(llvm: Any) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def _optimised(llvm: Any, text: str, machine: Any) -> Any:
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module

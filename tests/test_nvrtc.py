"""NVRTC without a GPU: what it makes, what it refuses, and that the checks on its PTX can fail."""

import struct
from concurrent.futures import ThreadPoolExecutor

import cuda_checks
import pytest

import symopt as so
from symopt.backends.cuda.nvrtc import architecture_for, compile_cuda, nvrtc_version, supported
from symopt.errors import CompileError

SCALE = """
extern "C" __global__ void scale(float* __restrict__ p, int n, float by) {
    __shared__ float seen[256];
    int i = blockIdx.x * 256 + threadIdx.x;
    seen[threadIdx.x] = i < n ? sqrtf(p[i] * by + 1.0f) : 0.0f;
    __syncthreads();
    if (i < n) p[i] = seen[255 - threadIdx.x] / by;
}
extern "C" __global__ void stacked(float* p, int k) {
    float kept[300];
    for (int i = 0; i < 300; i++) kept[i] = p[i];
    p[0] = kept[k];
}
"""
COPY4 = """
extern "C" __global__ void copy4(float* p) {
    __builtin_assume(__isGlobal(p));
    float4 four = ((const float4*)p)[threadIdx.x];
    four.x = four.x + 1.0f;
    ((float4*)p)[threadIdx.x + 256] = four;
}
"""
KNOWN = (75, 80, 86, 90, 100, 103, 110, 120, 121)


def elf_end(image: bytes) -> int:
    """Where the last part of an ELF file ends, by its own tables."""
    program_headers, section_headers = struct.unpack_from("<QQ", image, 32)
    program_size, programs, section_size, sections = struct.unpack_from("<HHHH", image, 54)
    ends = [program_headers + program_size * programs, section_headers + section_size * sections]
    for start in range(section_headers, section_headers + section_size * sections, section_size):
        kind, offset, size = (
            *struct.unpack_from("<I", image, start + 4),
            *struct.unpack_from("<QQ", image, start + 24),
        )
        if kind != 8:  # one without bytes in the file
            ends.append(offset + size)
    return int(max(ends))


def test_machine_code_is_a_whole_elf_file(nvrtc: None) -> None:
    image = compile_cuda(SCALE, "sm_90").image
    assert image[:4] == b"\x7fELF"
    assert elf_end(image) == len(image)
    assert image[-1] == 0


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_resources_of_each_kernel(nvrtc: None, architecture: str) -> None:
    resources = compile_cuda(SCALE, architecture).resources
    assert set(resources) == {"scale", "stacked"}
    assert 0 < resources["scale"].registers <= 64
    assert resources["scale"][1:] == (0, 0, 1024)
    assert resources["stacked"].stack == 1200


def test_spilled_registers_are_counted(nvrtc: None) -> None:
    text = """extern "C" __global__ void __launch_bounds__(1024, 2) k(float* p, int n) {
        float kept[64];
        _Pragma("unroll") for (int i = 0; i < 64; i++) kept[i] = p[i + threadIdx.x];
        for (int j = 0; j < n; j++) {
            __syncthreads();
            _Pragma("unroll") for (int i = 0; i < 64; i++) kept[i] = kept[i] * p[j] + 1.0f;
        }
        _Pragma("unroll") for (int i = 0; i < 64; i++) p[i] = kept[i];
    }"""
    assert compile_cuda(text, "sm_90").resources["k"].spill > 0


def test_ptx_is_text_for_the_virtual_architecture(nvrtc: None) -> None:
    compiled = compile_cuda(SCALE, "sm_90", ptx=True)
    assert b".target sm_90" in compiled.image
    assert compiled.resources == {}
    assert compile_cuda(SCALE, "compute_90", ptx=True) == compiled


def test_a_refusal_quotes_the_compiler_and_the_line(nvrtc: None) -> None:
    with pytest.raises(CompileError) as caught:
        compile_cuda('extern "C" __global__ void k(int* p) {\n    int x = y;\n    *p = x;\n}\n', "sm_90")
    assert 'kernels.cu(2): error: identifier "y" is undefined' in str(caught.value)
    assert str(caught.value).endswith("line 2: int x = y;")


def test_an_unknown_architecture_is_refused(nvrtc: None) -> None:
    with pytest.raises(CompileError, match=r"for sm_20:\n.*invalid value for --gpu-architecture"):
        compile_cuda(SCALE, "sm_20")


def test_threads_compile_at_once(nvrtc: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda k: compile_cuda(SCALE.replace("1.0f", f"{k}.0f"), "sm_90"), range(4)))
    assert len({one.image for one in made}) == 4


def test_what_the_compiler_knows(nvrtc: None) -> None:
    assert nvrtc_version() >= (12, 0)
    assert 90 in supported()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("90", ("sm_90", False)),
        ("89", ("sm_86", False)),  # the same major version
        ("99", ("sm_90", False)),
        ("110", ("sm_110", False)),
        ("105", ("sm_103", False)),
        ("115", ("sm_110", False)),
        ("121", ("sm_121", False)),
        ("129", ("compute_121", True)),
        ("150", ("compute_121", True)),
    ],
)
def test_architecture_of_a_device(capability: str, expected: tuple[str, bool]) -> None:
    assert architecture_for(capability, KNOWN) == expected


def test_a_major_version_between_those_known_gets_ptx() -> None:
    assert architecture_for("110", (90, 103, 120)) == ("compute_103", True)


def test_a_device_too_old_is_refused() -> None:
    with pytest.raises(
        so.errors.DeviceError, match=r"capability 6\.1; this NVRTC compiles for 7\.5 and later"
    ):
        architecture_for("61", KNOWN)


def ptx(text: str) -> str:
    return compile_cuda(text, "sm_90", ptx=True).image.decode()


def kernel(body: str) -> str:
    return ptx('extern "C" __global__ void k(float* p, double* q, int i) { ' + body + " }")


def test_basic_operations_round_one_by_one(nvrtc: None) -> None:
    text = ptx(SCALE)
    assert {"mul.rn.f32", "add.rn.f32", "sqrt.rn.f32", "div.rn.f32"} <= set(cuda_checks.instructions(text))
    assert cuda_checks.misrounded(text) == []
    assert cuda_checks.misrounded(kernel("*q = *q * *p + (double)i; *p = (float)*q - 1.0f;")) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("*p = fmaf(*p, 2.5f, 1.0f);", "fma.rn.f32"),
        ("*q = fma(*q, 2.5, 1.0);", "fma.rn.f64"),
        ("*p = __fdividef(*p, 3.0f);", "div.approx.f32"),
        ("*p = __fmul_rz(*p, 3.0f);", "mul.rz.f32"),
        ("*p = __saturatef(*p);", "cvt.sat.f32.f32"),
        ("*p = __expf(*p);", "ex2.approx.f32"),
        ('asm("add.f32 %0, %0, %0;" : "+f"(*p));', "add.f32"),
        ('asm("add.rn.ftz.f32 %0, %0, %0;" : "+f"(*p));', "add.rn.ftz.f32"),
        ("atomicAdd(p, 1.0f);", "atom.global.add.f32"),
    ],
)
def test_other_arithmetic_is_found(nvrtc: None, body: str, found: str) -> None:
    assert [one for one in cuda_checks.misrounded(kernel(body)) if one.startswith(found)]


def test_wide_loads_and_stores_are_counted(nvrtc: None) -> None:
    text = ptx(COPY4)
    assert (cuda_checks.wide(text, "ld"), cuda_checks.wide(text, "st")) == (1, 1)
    assert cuda_checks.generic(text) == []
    narrow = ptx(SCALE)
    assert (cuda_checks.wide(narrow, "ld"), cuda_checks.wide(narrow, "st")) == (0, 0)


def test_addresses_of_no_memory_in_particular_are_found(nvrtc: None) -> None:
    assert cuda_checks.generic(kernel("float* r = (float*)(i * 4096ull); r[0] = r[1];"))


def test_uses_of_the_stack_are_found(nvrtc: None) -> None:
    assert cuda_checks.local(ptx(SCALE))
    assert cuda_checks.local(ptx(COPY4)) == []

"""What generated CUDA code must keep to, read off its PTX."""

import re
from collections.abc import Iterator

ROUNDED = {"add", "sub", "mul", "div", "sqrt"}  # must say .rn: without it ptxas may fuse a sum with a product
EXACT = set("abs copysign cvt ld ldu max min mov neg selp set setp slct st testp".split())  # noqa: SIM905
FLOAT = re.compile(r"\.(f16x2|f16|bf16x2|bf16|f32|f64)\b")
BITS = re.compile(r"\.[bsuf](?:f)?(\d+)$")


def instructions(ptx: str) -> Iterator[str]:
    """Each instruction's opcode with its modifiers, "mul.rn.f32", in order."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", ptx, flags=re.DOTALL)
    text = re.sub(
        r"^\s*\.(version|target|address_size|file|loc|section)\b[^\n]*", "", text, flags=re.MULTILINE
    )
    for statement in re.split(r"[;{}]", text):
        words = re.sub(r"^\s*(?:[$\w]+:\s*)*(?:@!?%\w+\s+)?", "", statement).split()
        if words and re.fullmatch(r"[a-z]\w*(\.[\w:]+)*", words[0]):
            yield words[0]


def misrounded(ptx: str) -> list[str]:
    """Instructions on floating-point numbers that do anything but what IEEE 754 says of one operation."""
    return [one for one in instructions(ptx) if not _rounds_as_ieee(one)]


def _rounds_as_ieee(instruction: str) -> bool:
    name, *modifiers = instruction.split(".")
    if not {"ftz", "approx", "full", "sat"}.isdisjoint(modifiers):
        return False
    if not FLOAT.search(instruction):
        return True
    return name in EXACT or (name in ROUNDED and "rn" in modifiers)


def wide(ptx: str, name: str) -> int:
    """How many instructions called `name` ("ld" or "st") move 16 bytes of global memory."""
    return sum(
        _bytes(one) == 16 for one in instructions(ptx) if one.startswith(f"{name}.") and ".global" in one
    )


def _bytes(instruction: str) -> int:
    bits = BITS.search(instruction)
    assert bits, instruction
    vector = re.search(r"\.v(\d)\.", instruction)
    return int(bits[1]) * (int(vector[1]) if vector else 1) // 8


def generic(ptx: str) -> list[str]:
    """Loads and stores that do not say which memory they are of, which are slower."""
    spaces = re.compile(r"\.(global|shared|local|param|const)\b")
    return [one for one in instructions(ptx) if re.match(r"(ld|st)\.", one) and not spaces.search(one)]


def local(ptx: str) -> list[str]:
    """Uses of a thread's stack, which lies in global memory."""
    return [one for one in instructions(ptx) if ".local" in one] + re.findall(r"\.local\s[^;]*;", ptx)

"""Code for CRC-32C as LLVM IR: by the processor's instruction, or by a table where none is known here.

`@streams` writes the sums of three runs of words, one behind the other, before the last inversion.
"""

from __future__ import annotations

from functools import cache

POLYNOMIAL = 0x82F63B78  # bits reversed: the highest bit is x**0
ALL = 0xFFFFFFFF
STREAMS = 3  # an instruction takes three cycles, and one can begin in each
WORD = 8


def program(architecture: str, features: set[str]) -> str:
    """The module for a processor, of which `host_features` tells."""
    if architecture == "x86_64" and "sse4.2" in features:
        step = _X86
    elif architecture in ("aarch64", "arm64") and "crc" in features:
        step = _ARM
    else:
        step = _bybyte_table()
    runs = range(STREAMS)
    return f"""{step}
define void @streams(ptr %data, i64 %words, ptr %sums) {{
entry:
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k.next, %loop]
{"".join(f"  %sum{r} = phi i64 [{ALL}, %entry], [%next{r}, %loop]{chr(10)}" for r in runs)}
{"".join(_RUN.format(r=r) for r in runs)}
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %words
  br i1 %more, label %loop, label %done
done:
{"".join(_STORE.format(r=r) for r in runs)}
  ret void
}}
"""


_X86 = """
declare i64 @llvm.x86.sse42.crc32.64.64(i64, i64)
define internal i64 @step(i64 %sum, i64 %word) {
  %next = call i64 @llvm.x86.sse42.crc32.64.64(i64 %sum, i64 %word)
  ret i64 %next
}
"""
_ARM = """
declare i32 @llvm.aarch64.crc32cx(i32, i64)
define internal i64 @step(i64 %sum, i64 %word) {
  %old = trunc i64 %sum to i32
  %next = call i32 @llvm.aarch64.crc32cx(i32 %old, i64 %word)
  %wide = zext i32 %next to i64
  ret i64 %wide
}
"""
_RUN = """
  %begin{r} = mul i64 %words, {r}
  %index{r} = add i64 %begin{r}, %k
  %at{r} = getelementptr i64, ptr %data, i64 %index{r}
  %word{r} = load i64, ptr %at{r}, align 1
  %next{r} = call i64 @step(i64 %sum{r}, i64 %word{r})
"""
_STORE = """
  %place{r} = getelementptr i64, ptr %sums, i64 {r}
  store i64 %next{r}, ptr %place{r}
"""


def _bybyte_table() -> str:
    """Byte by byte; three runs at once keep the processor busy."""
    entries = ", ".join(f"i64 {entry}" for entry in byte_table())
    bytewise = "".join(
        f"""
  %low{k} = and i64 %x{k}, 255
  %at{k} = getelementptr i64, ptr @table, i64 %low{k}
  %entry{k} = load i64, ptr %at{k}
  %high{k} = lshr i64 %x{k}, 8
  %x{k + 1} = xor i64 %entry{k}, %high{k}"""
        for k in range(WORD)
    )
    return f"""@table = internal constant [256 x i64] [{entries}]
define internal i64 @step(i64 %sum, i64 %word) {{
  %x0 = xor i64 %sum, %word{bytewise}
  ret i64 %x{WORD}
}}
"""


@cache
def byte_table() -> tuple[int, ...]:
    """What each byte does to a sum."""
    return tuple(map(_after_byte, range(256)))


def _after_byte(found: int) -> int:
    for _ in range(8):
        found = found >> 1 ^ (POLYNOMIAL if found & 1 else 0)
    return found

"""Counting in a sliding filter as LLVM IR: one id after the other, since each may move what the next one finds.

`@add` takes the numbers of `sliding.SlidingFilter` and does what its Python loop does.
"""

from __future__ import annotations

PROBES = 16  # cells looked at in a split
AHEAD = 2  # splits from the head on that take ids; all others are only looked at
COUNT_BITS = 4  # of a cell's 16; the others are the signature
FULLEST = (1 << COUNT_BITS) - 1  # counts stop here
HEAD, TURNS, FAILURES, USED = range(
    4
)  # words: the head, how often it moved, ids without room, used cells by split


def program() -> str:
    """The module's text."""
    return _PROBE + _ADD


_CELLS = f"<{PROBES} x i16>"
_SPLAT = f"<{', '.join([f'i16 {COUNT_BITS}'] * PROBES)}>"
_PROBE = f"""
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.umin.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; The number of the first cell from %at on that is empty or has the signature; {PROBES} if none of those looked at does.
define internal i64 @probe(ptr %at, i16 %signature) alwaysinline {{
  %found = load {_CELLS}, ptr %at, align 2
  %signatures = lshr {_CELLS} %found, {_SPLAT}
  %one = insertelement {_CELLS} poison, i16 %signature, i32 0
  %all = shufflevector {_CELLS} %one, {_CELLS} poison, <{PROBES} x i32> zeroinitializer
  %is.same = icmp eq {_CELLS} %signatures, %all
  %is.empty = icmp eq {_CELLS} %found, zeroinitializer
  %fits = or <{PROBES} x i1> %is.same, %is.empty
  %bits = bitcast <{PROBES} x i1> %fits to i{PROBES}
  %wide = zext i{PROBES} %bits to i64
  %ended = or i64 %wide, {1 << PROBES}
  %first = call i64 @llvm.cttz.i64(i64 %ended, i1 true)
  ret i64 %first
}}

; The address where split %split begins to be looked at.
define internal ptr @window(ptr %cells, i64 %split, i64 %stride, i64 %start) alwaysinline {{
  %before = mul i64 %split, %stride
  %index = add i64 %before, %start
  %at = getelementptr i16, ptr %cells, i64 %index
  ret ptr %at
}}

; %signature and a count that stops at {FULLEST}, as a cell.
define internal i16 @cell(i16 %signature, i64 %count) alwaysinline {{
  %least = call i64 @llvm.umin.i64(i64 %count, i64 {FULLEST})
  %low = trunc i64 %least to i16
  %high = shl i16 %signature, {COUNT_BITS}
  %cell = or i16 %high, %low
  ret i16 %cell
}}
"""
_ADD = f"""
define void @add(ptr noalias %cells, ptr noalias %numbers, i64 %splits, i64 %stride, i64 %full, ptr noalias %starts,
                 ptr noalias %signatures, ptr noalias %counts, i64 %n, ptr noalias %olds) {{
entry:
  %head.at = getelementptr i64, ptr %numbers, i64 {HEAD}
  %turns.at = getelementptr i64, ptr %numbers, i64 {TURNS}
  %failures.at = getelementptr i64, ptr %numbers, i64 {FAILURES}
  %used.at = getelementptr i64, ptr %numbers, i64 {USED}
  %back.most = sub i64 %splits, {AHEAD}
  br label %ids

ids:
  %k = phi i64 [0, %entry], [%k.next, %next]
  %more = icmp ult i64 %k, %n
  br i1 %more, label %id, label %done

id:
  %start.at = getelementptr i64, ptr %starts, i64 %k
  %start = load i64, ptr %start.at
  %signature.at = getelementptr i16, ptr %signatures, i64 %k
  %signature = load i16, ptr %signature.at
  %count.at = getelementptr i64, ptr %counts, i64 %k
  %count = load i64, ptr %count.at
  %head = load i64, ptr %head.at
  br label %ahead

ahead:  ; the first split, from the head on, that has the id or room for it
  %step = phi i64 [0, %id], [%step.next, %ahead.on]
  %split.sum = add i64 %head, %step
  %split = urem i64 %split.sum, %splits
  %split.start = call ptr @window(ptr %cells, i64 %split, i64 %stride, i64 %start)
  %first = call i64 @probe(ptr %split.start, i16 %signature)
  %has.place = icmp ult i64 %first, {PROBES}
  br i1 %has.place, label %placed, label %ahead.on
ahead.on:
  %step.next = add i64 %step, 1
  %step.more = icmp ult i64 %step.next, {AHEAD}
  br i1 %step.more, label %ahead, label %failed
failed:
  %failures = load i64, ptr %failures.at
  %failures.next = add i64 %failures, 1
  store i64 %failures.next, ptr %failures.at
  br label %next

placed:
  %place = getelementptr i16, ptr %split.start, i64 %first
  %held = load i16, ptr %place
  %is.new = icmp eq i16 %held, 0
  br i1 %is.new, label %look.back, label %counted
counted:
  %old.bits = and i16 %held, {FULLEST}
  %old.here = zext i16 %old.bits to i64
  %sum.here = add i64 %old.here, %count
  %cell.here = call i16 @cell(i16 %signature, i64 %sum.here)
  store i16 %cell.here, ptr %place
  br label %next

look.back:  ; an older split may have it
  %turns = load i64, ptr %turns.at
  %back.last = call i64 @llvm.umin.i64(i64 %turns, i64 %back.most)
  br label %back
back:
  %age = phi i64 [1, %look.back], [%age.next, %back.on]
  %back.more = icmp ule i64 %age, %back.last
  br i1 %back.more, label %back.look, label %insert
back.look:
  %wrapped = add i64 %head, %splits
  %older.sum = sub i64 %wrapped, %age
  %older = urem i64 %older.sum, %splits
  %older.start = call ptr @window(ptr %cells, i64 %older, i64 %stride, i64 %start)
  %older.first = call i64 @probe(ptr %older.start, i16 %signature)
  %older.found = icmp ult i64 %older.first, {PROBES}
  br i1 %older.found, label %back.read, label %back.on
back.read:
  %older.place = getelementptr i16, ptr %older.start, i64 %older.first
  %older.held = load i16, ptr %older.place
  %older.empty = icmp eq i16 %older.held, 0
  %older.bits = and i16 %older.held, {FULLEST}
  %older.count = zext i16 %older.bits to i64
  br i1 %older.empty, label %back.on, label %insert
back.on:
  %age.next = add i64 %age, 1
  br label %back

insert:
  %old = phi i64 [0, %back], [%older.count, %back.read]
  %sum = add i64 %old, %count
  %cell = call i16 @cell(i16 %signature, i64 %sum)
  store i16 %cell, ptr %place
  %split.used = getelementptr i64, ptr %used.at, i64 %split
  %used = load i64, ptr %split.used
  %used.next = add i64 %used, 1
  store i64 %used.next, ptr %split.used
  %head.used.at = getelementptr i64, ptr %used.at, i64 %head
  %head.used = load i64, ptr %head.used.at
  %is.full = icmp uge i64 %head.used, %full
  br i1 %is.full, label %turn, label %next

turn:  ; the split behind the next head, the oldest, begins anew
  %head.sum = add i64 %head, 1
  %head.next = urem i64 %head.sum, %splits
  %turns.next = add i64 %turns, 1
  store i64 %head.next, ptr %head.at
  store i64 %turns.next, ptr %turns.at
  %clear.sum = add i64 %head, {AHEAD}
  %clear = urem i64 %clear.sum, %splits
  %clear.at = call ptr @window(ptr %cells, i64 %clear, i64 %stride, i64 0)
  %bytes = shl i64 %stride, 1
  call void @llvm.memset.p0.i64(ptr %clear.at, i8 0, i64 %bytes, i1 false)
  %clear.used = getelementptr i64, ptr %used.at, i64 %clear
  store i64 0, ptr %clear.used
  br label %next

next:
  %old.found = phi i64 [{FULLEST}, %failed], [%old.here, %counted], [%old, %insert], [%old, %turn]
  %old.at = getelementptr i64, ptr %olds, i64 %k
  store i64 %old.found, ptr %old.at
  %k.next = add i64 %k, 1
  br label %ids

done:
  ret void
}}
"""

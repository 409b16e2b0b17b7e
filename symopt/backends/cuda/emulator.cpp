// Runs a kernel on the processor. Every CUDA thread of a block is a fiber; blocks follow one another. A fiber runs
// until it must wait at a barrier or for its warp, or ends; which one runs next is drawn from a seed, so that a result
// that depends on the order shows. What CUDA leaves undefined ends the launch, with an error that names kernel, block
// and thread.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

#include "emulator.h"
#include "emulator_fibers.h"
#include "emulator_schedule.h"

namespace symopt_emulator {
namespace {

constexpr u32 LANES = 32;

enum State { RUNS, AT_BARRIER, IN_WARP, EXITED };

struct Fiber {
  Context context;
  State state;
  const char* operation;  // that it waits in, and its line
  int line;
  u32 mask;    // the lanes that take part in it
  u32 source;  // the thread whose value it gets from it
  u64 value, received;
};

// Of the launch and the block that run. The caller sees to it that there is one launch at a time.
Runtime runtime;
Fiber fibers[MAX_FIBERS];
Context scheduler;
Schedule schedule;
const Kernel* kernel;
void** arguments;
u32 n_threads, current, n_arrived, first_arrived, n_exited, first_exited;
const char* kernel_name;
char* error;  // of error_bytes; empty while all is well
u64 error_bytes;

// ---- Errors

__attribute__((format(printf, 2, 3))) void report(u32 thread, const char* format, ...) {
  const u64 used = std::min<u64>(
      snprintf(error, error_bytes, "kernel %s, block %u, thread %u: ", kernel_name, runtime.block.x, thread),
      error_bytes);
  va_list values;
  va_start(values, format);
  vsnprintf(error + used, error_bytes - used, format, values);
  va_end(values);
}

// Ends the launch: nobody switches back.
[[noreturn]] void abandon() {
  switch_to(fibers[current].context, scheduler);
  __builtin_unreachable();
}

#define FAIL(...) (report(current, __VA_ARGS__), abandon())

// ---- Waiting

void wake(u32 thread) {
  fibers[thread].state = RUNS;
  schedule.make_ready(thread);
}

void leave() { switch_to(fibers[current].context, scheduler); }

void interleave() {
  if (!schedule.interleaves()) return;
  wake(current);
  leave();
}

void barrier(int line) {
  Fiber &me = fibers[current], &first = fibers[first_arrived];
  if (n_exited) FAIL("is at the __syncthreads of line %d, which thread %u has ended without", line, first_exited);
  if (n_arrived && first.line != line)
    FAIL("is at the __syncthreads of line %d, but thread %u at that of line %d", line, first_arrived, first.line);
  if (n_arrived++ == 0) first_arrived = current;
  me.state = AT_BARRIER, me.operation = "__syncthreads", me.line = line;
  if (n_arrived == n_threads) {
    n_arrived = 0;
    for (u32 i = 0; i < n_threads; i++) wake(i);
  }
  leave();
}

// Whether `other` of this warp waits for the operation that this thread now begins.
bool takes_part(const Fiber& me, u32 number) {
  const Fiber& other = fibers[number];
  if (other.state == EXITED)
    FAIL("the mask 0x%08x of %s in line %d names thread %u, which has ended", me.mask, me.operation, me.line, number);
  if (other.state != IN_WARP || !(other.mask >> current % LANES & 1)) return false;
  // Each waits for the other: here, or nowhere.
  if (other.operation != me.operation || other.line != me.line)
    FAIL("is in %s of line %d, but thread %u of its mask in %s of line %d", me.operation, me.line, number,
         other.operation, other.line);
  if (other.mask != me.mask)
    FAIL("gives %s in line %d the mask 0x%08x, but thread %u gives 0x%08x", me.operation, me.line, me.mask, number,
         other.mask);
  return true;
}

// Waits until all lanes of the mask do; then all of them get the value of their source.
void meet(const char* operation, u32 mask, u32 source_lane, int line) {
  Fiber& me = fibers[current];
  const u32 lane = current % LANES, warp = current - lane;
  me.operation = operation, me.line = line, me.mask = mask, me.source = warp + source_lane;
  if (!(mask >> lane & 1)) FAIL("is not in the mask 0x%08x that it gives %s in line %d", mask, operation, line);
  if (source_lane >= LANES || !(mask >> source_lane & 1))
    FAIL("asks %s in line %d for lane %u, which is not in the mask 0x%08x", operation, line, source_lane, mask);
  bool is_last = true;
  for (u32 lanes = mask & ~(1u << lane); lanes; lanes &= lanes - 1) {
    const u32 other = warp + __builtin_ctz(lanes);
    if (other >= n_threads)
      FAIL("the mask 0x%08x of %s in line %d names a lane that the block does not have", mask, operation, line);
    if (!takes_part(me, other)) is_last = false;
  }
  me.state = IN_WARP;
  for (u32 lanes = is_last ? mask : 0; lanes; lanes &= lanes - 1) {
    Fiber& other = fibers[warp + __builtin_ctz(lanes)];
    other.received = fibers[other.source].value;
    wake(warp + __builtin_ctz(lanes));
  }
  leave();
}

void warp_barrier(u32 mask, int line) { meet("__syncwarp", mask, current % LANES, line); }

u64 shuffle_xor(u32 mask, u64 value, int offset, int line) {
  Fiber& me = fibers[current];
  me.value = value;
  meet("__shfl_xor_sync", mask, current % LANES ^ static_cast<u32>(offset), line);
  return me.received;
}

void misaligned(const void* address, u64 bytes, int line) {
  FAIL("accesses %llu bytes at address %p, which is not aligned to that (line %d)", bytes, address, line);
}

// ---- Threads, blocks, launches

void check_nobody_waits_for_me() {
  if (n_arrived)
    FAIL("ends, but thread %u waits at the __syncthreads of line %d", first_arrived, fibers[first_arrived].line);
  const u32 warp = current - current % LANES;
  for (u32 i = warp; i < warp + LANES && i < n_threads; i++)
    if (fibers[i].state == IN_WARP && fibers[i].mask >> current % LANES & 1)
      FAIL("ends, but thread %u waits for it in %s of line %d", i, fibers[i].operation, fibers[i].line);
}

void run_thread() {
  kernel->call(arguments);
  check_nobody_waits_for_me();
  fibers[current].state = EXITED;
  if (n_exited++ == 0) first_exited = current;
  leave();
}

void start_block(u32 block, char* room) {
  n_arrived = n_exited = 0;
  memset(kernel->shared, 0xff, kernel->shared_end - kernel->shared);  // NaN, whatever is read as a number
  for (u32 i = 0; i < n_threads; i++) {
    fibers[i].state = RUNS;
    // Stacks begin at different places in their pages, so that not all compete for the same lines of the cache.
    begin(fibers[i].context, room + i * STACK, STACK - i % 16 * 256, run_thread);
  }
  runtime.block.x = block;
  schedule.start_block(n_threads);
}

// No thread is ready, and some have not ended: then one waits for a lane of its warp that waits elsewhere.
void report_deadlock() {
  for (u32 i = 0; i < n_threads; i++) {
    const Fiber& me = fibers[i];
    for (u32 lanes = me.state == IN_WARP ? me.mask : 0; lanes; lanes &= lanes - 1) {
      const u32 number = i - i % LANES + __builtin_ctz(lanes);
      const Fiber& other = fibers[number];
      if (other.state != IN_WARP || other.mask != me.mask || other.line != me.line)
        return report(i, "waits in %s of line %d for thread %u, which waits in %s of line %d", me.operation, me.line,
                      number, other.operation, other.line);
    }
  }
}

void run_block() {
  while (n_exited < n_threads && !*error) {
    current = runtime.thread.x = schedule.take();
    if (current == n_threads) return report_deadlock();
    switch_to(scheduler, fibers[current].context);
  }
}

}  // namespace
}  // namespace symopt_emulator

SYMOPT_LIBRARY
#define EXPORT extern "C" __attribute__((visibility("default")))

// What every library of kernels gets as its symopt_runtime.
EXPORT void* symopt_emulator_runtime() {
  using namespace symopt_emulator;
  runtime.barrier = barrier;
  runtime.warp_barrier = warp_barrier;
  runtime.shuffle_xor = shuffle_xor;
  runtime.interleave = interleave;
  runtime.misaligned = misaligned;
  return &runtime;
}

// Runs all blocks, in an order drawn from the seed. The error, text of at most error_bytes, is empty if all went well.
EXPORT void symopt_emulator_launch(const symopt_emulator::Kernel* kernel, const char* name, void** arguments, u32 grid,
                                   u32 threads, u64 seed, char* error, u64 error_bytes) {
  using namespace symopt_emulator;
  symopt_emulator::kernel = kernel, symopt_emulator::arguments = arguments, kernel_name = name, n_threads = threads;
  symopt_emulator::error = error, symopt_emulator::error_bytes = error_bytes;
  *error = 0;
  char* room = stacks();
  u32* blocks = new (std::nothrow) u32[grid];
  if (!room || !blocks) {
    snprintf(error, error_bytes, "kernel %s: no memory for the stacks of its threads", name);
    return;
  }
  for (u32 i = 0; i < grid; i++) blocks[i] = i;
  schedule.start(seed);
  schedule.shuffle(blocks, grid, 1);
  runtime.block_dim = {threads, 1, 1}, runtime.grid_dim = {grid, 1, 1};
  runtime.block = runtime.thread = {0, 0, 0};
  for (u32 i = 0; i < grid && !*error; i++) {
    start_block(blocks[i], room);
    run_block();
  }
  delete[] blocks;
}

// Runs a kernel on the processor. Every CUDA thread of a block is a fiber; blocks follow one another. A fiber runs
// until it must wait at a barrier or for its warp, or ends; which one runs next is drawn from a seed, so that a result
// that depends on the order shows. What CUDA leaves undefined ends the launch, with an error that names kernel, block
// and thread.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <vector>

#include "emulator.h"
#include "emulator_fibers.h"
#include "emulator_races.h"
#include "emulator_regions.h"
#include "emulator_schedule.h"

namespace symopt_emulator {
namespace {

constexpr u32 LANES = 32;

// As emulator.py has it.
struct Launch {
  const Kernel* kernel;
  const char* name;
  void** arguments;
  u64 grid, threads, seed;
  const Region* regions;  // by ascending addresses
  u64 n_regions;
  char* error;  // text, empty while all is well
  u64 error_bytes;
  u64 fault;  // the address that the error is about, or 0
};

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
Races& races = *new Races;  // kept until the process ends
Launch* launch;
Regions regions;
char* room;  // of the stacks
u32 n_threads, current, n_arrived, first_arrived, n_exited, first_exited;

// ---- Errors

__attribute__((format(printf, 2, 3))) void report(u32 thread, const char* format, ...) {
  char* const error = launch->error;
  const u64 size = launch->error_bytes;
  const u64 used = std::min<u64>(
      snprintf(error, size, "kernel %s, block %u, thread %u: ", launch->name, runtime.block.x, thread), size);
  va_list values;
  va_start(values, format);
  vsnprintf(error + used, size - used, format, values);
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
    races.barrier();
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

// Waits until all lanes of the mask do; then all of them get the value of their source, which may be themselves.
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
  if (is_last && source_lane == lane) races.warp_barrier(warp, mask);
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

// ---- Accesses

void check_inside(u64 address, u64 bytes, const char* does) {
  if (!regions.is_beside(address, bytes)) return;
  launch->fault = address;
  FAIL("%s %llu bytes at %#llx", does, bytes, address);
}

void check_order(u64 address, u64 bytes, Access kind, const char* does, bool is_shared) {
  const Race race = races.access(current, address, bytes, kind, is_shared);
  if (!race.found) return;
  char who[32] = "another block";
  if (race.thread == Race::SEVERAL) snprintf(who, sizeof(who), "other threads");
  if (race.thread < n_threads) snprintf(who, sizeof(who), "thread %u", race.thread);
  const char* what = race.is_written ? "wrote" : "read";
  if (is_shared)
    FAIL("race: %s %llu bytes of shared memory, from byte %llu, which %s %s, with no barrier between", does, bytes,
         address - reinterpret_cast<u64>(launch->kernel->shared), who, what);
  launch->fault = address;
  FAIL("race: %s %llu bytes at %#llx, which %s %s, with no barrier between", does, bytes, address, who, what);
}

bool is_within(u64 address, const void* start, const void* end) {
  return address >= reinterpret_cast<u64>(start) && address < reinterpret_cast<u64>(end);
}

void access(const void* pointer, u64 bytes, Access kind) {
  const u64 address = reinterpret_cast<u64>(pointer);
  const Kernel& kernel = *launch->kernel;
  if (pointer == kernel.runtime || is_within(address, &runtime, &runtime + 1)) return;
  if (is_within(address, room, room + MAX_FIBERS * STACK)) return;
  const bool is_shared = is_within(address, kernel.shared, kernel.shared_end);
  const char* does = kind == READ ? "reads" : kind == WRITE ? "writes" : "updates";
  if (!is_shared) check_inside(address, bytes, does);
  check_order(address, bytes, kind, does, is_shared);
  if (is_shared && kind != WRITE && !races.is_written(address, bytes))
    FAIL("%s %llu bytes of shared memory, from byte %llu, that no thread of the block has written", does, bytes,
         address - reinterpret_cast<u64>(kernel.shared));
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
  launch->kernel->call(launch->arguments);
  check_nobody_waits_for_me();
  fibers[current].state = EXITED;
  if (n_exited++ == 0) first_exited = current;
  leave();
}

void start_block(u32 block) {
  const Kernel& kernel = *launch->kernel;
  n_arrived = n_exited = 0;
  memset(kernel.shared, 0xff, kernel.shared_end - kernel.shared);  // NaN, whatever is read as a number
  for (u32 i = 0; i < n_threads; i++) {
    fibers[i].state = RUNS;
    // Stacks begin at different places in their pages, so that not all compete for the same lines of the cache.
    begin(fibers[i].context, room + i * STACK, STACK - i % 16 * 256, run_thread);
  }
  runtime.block.x = block;
  schedule.start_block(n_threads);
  races.start_block(n_threads);
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
  while (n_exited < n_threads && !*launch->error) {
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
  runtime.access = access;
  return &runtime;
}

// Runs all blocks, in an order drawn from the seed.
EXPORT void symopt_emulator_launch(symopt_emulator::Launch* given) {
  using namespace symopt_emulator;
  launch = given;
  *launch->error = 0, launch->fault = 0;
  room = stacks();
  if (!room) {
    snprintf(launch->error, launch->error_bytes, "kernel %s: no memory for the stacks of its threads", launch->name);
    return;
  }
  const u32 grid = launch->grid;
  n_threads = launch->threads;
  runtime.block_dim = {n_threads, 1, 1}, runtime.grid_dim = {grid, 1, 1};
  runtime.block = runtime.thread = {0, 0, 0};
  std::vector<u32> blocks(grid);
  for (u32 i = 0; i < grid; i++) blocks[i] = i;
  schedule.start(launch->seed);
  schedule.shuffle(blocks.data(), grid, 1);
  races.start_launch();
  regions.start_launch(launch->regions, launch->n_regions);
  for (u32 i = 0; i < grid && !*launch->error; i++) {
    start_block(blocks[i]);
    run_block();
  }
}

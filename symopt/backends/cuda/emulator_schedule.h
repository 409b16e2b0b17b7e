// Which thread of a block runs next, drawn from a seed.
#pragma once
#include <algorithm>
#include <cstring>

#include "emulator_fibers.h"

namespace symopt_emulator {

// Threads have ranks, which are the threads' numbers for seed 0 and otherwise drawn, again and again.
// In passes (even seeds): every thread that is ready gets one turn, by rank; then the next pass, of new ranks.
// Strict (odd seeds): the ready thread of the lowest rank runs, and others lag far behind: whole warps, with lanes in
// order, or single lanes, which a GPU may let run ahead of their warp too.
class Schedule {
 public:
  void start(u64 seed) {
    random = (seed + 1) * 0x9E3779B97F4A7C15ull;
    is_drawn = seed != 0, is_strict = seed % 2 == 1, by_warp = seed % 4 == 1;
  }

  void start_block(u32 threads) {
    n_threads = threads;
    memset(is_ready, true, threads);
    for (u32 i = 0; i < threads; i++) thread_of[i] = i;
    rank();
  }

  u64 draw(u64 below) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return (random >> 16) % below;
  }

  // Whether threads are left at points where they need not be.
  bool interleaves() { return is_drawn && draw(4) == 0; }

  void make_ready(u32 thread) {
    is_ready[thread] = true;
    ready[rank_of[thread] / 64] |= 1ull << rank_of[thread] % 64;
  }

  // The next thread to run, which is no longer ready then; n_threads when none is ready.
  u32 take() {
    if (is_strict && draw(64) == 0) rank();
    u32 rank_taken = first_from(is_strict ? 0 : next);
    if (rank_taken == n_threads && next > 0) {
      rank();
      rank_taken = first_from(0);
    }
    if (rank_taken == n_threads) return n_threads;
    next = rank_taken + 1;
    ready[rank_taken / 64] &= ~(1ull << rank_taken % 64);
    is_ready[thread_of[rank_taken]] = false;
    return thread_of[rank_taken];
  }

  // A permutation of 0 ... n - 1, in groups of `unit` that stay together; a last group of fewer stays last.
  void shuffle(u32* items, u32 n, u32 unit) {
    for (u32 i = is_drawn ? n / unit : 0; i > 1; i--) {
      const u32 j = draw(i);
      if (j != i - 1) std::swap_ranges(items + (i - 1) * unit, items + i * unit, items + j * unit);
    }
  }

 private:
  static constexpr u32 WORDS = MAX_FIBERS / 64;

  u64 random, ready[WORDS];  // a bit for each rank
  bool is_drawn, is_strict, by_warp, is_ready[MAX_FIBERS];
  u32 n_threads, next, thread_of[MAX_FIBERS], rank_of[MAX_FIBERS];

  void rank() {
    shuffle(thread_of, n_threads, by_warp ? 32 : 1);
    memset(ready, 0, sizeof(ready));
    for (u32 i = 0; i < n_threads; i++) {
      rank_of[thread_of[i]] = i;
      if (is_ready[thread_of[i]]) ready[i / 64] |= 1ull << i % 64;
    }
    next = 0;
  }

  u32 first_from(u32 rank) {
    for (u32 word = rank / 64; word < WORDS; word++) {
      const u64 left = ready[word] & (word == rank / 64 ? ~0ull << rank % 64 : ~0ull);
      if (left) return word * 64 + __builtin_ctzll(left);
    }
    return n_threads;
  }
};

}  // namespace symopt_emulator

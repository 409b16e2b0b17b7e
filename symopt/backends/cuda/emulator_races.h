// Two accesses of one launch to the same memory, one of them a write, are a race unless they are ordered: by being of
// one thread; by a __syncthreads between them; by __syncwarp, for lanes of one warp. A shuffle orders nothing. Blocks
// are never ordered. Atomic operations race only with accesses that are not. Races are found in whatever order threads
// happen to run, as far as their path does not depend on it.
#pragma once
#include <cstring>
#include <unordered_map>
#include <vector>

#include "emulator.h"

namespace symopt_emulator {

struct Race {
  bool found;
  bool is_written;  // by the access before, or read
  u32 thread;       // whose access that was: of this block, or
  enum { OTHER_BLOCK = 0xfffe, SEVERAL = 0xffff };
};

class Races {
 public:
  void start_launch() {
    if (pages.size() > 1024) {  // cells of earlier launches are harmless, but take room
      pages.clear();
      memset(recent, 0, sizeof(recent));
    }
    launch_era = era + 1;
  }

  void start_block(u32 threads) {
    barrier();
    block_era = era;
    for (u32 i = 0; i < threads; i++) known[i][i % LANES]++;
  }

  // All threads of the block have met.
  void barrier() {
    era++;
    lists.clear();
  }

  // The lanes of the mask in the warp of that first thread have met.
  void warp_barrier(u32 warp, u32 mask) {
    u32 joined[LANES] = {};
    for (u32 i = 0; i < LANES; i++)
      for (u32 lane = 0; mask >> i & 1 && lane < LANES; lane++)
        if (known[warp + i][lane] > joined[lane]) joined[lane] = known[warp + i][lane];
    for (u32 i = 0; i < LANES; i++) {
      if (!(mask >> i & 1)) continue;
      memcpy(known[warp + i], joined, sizeof(joined));
      known[warp + i][i]++;
    }
  }

  // Notes an access; a Race if it is not ordered after those noted before. Shared memory is another one in each block.
  Race access(u32 thread, u64 address, u64 bytes, Access kind, bool is_shared) {
    me = thread, since = is_shared ? block_era : launch_era;
    for (u64 at = address; at < address + bytes;) {
      Page& page = page_of(at, address, bytes);
      const u64 end = (at / PAGE + 1) * PAGE < address + bytes ? (at / PAGE + 1) * PAGE : address + bytes;
      for (; at < end; at += 1ull << page.shift) {
        const Race race = access(page.cells[at % PAGE >> page.shift], kind);
        if (race.found) return race;
      }
    }
    return {};
  }

  // Whether a thread of this block has written all of it.
  bool is_written(u64 address, u64 bytes) {
    for (u64 at = address; at < address + bytes;) {
      Page& page = page_of(at, address, bytes);
      if (page.cells[at % PAGE >> page.shift].write.era < block_era) return false;
      at += 1ull << page.shift;
    }
    return true;
  }

 private:
  static constexpr u32 LANES = 32, THREADS = 1024, LIST = 0xfffd;
  static constexpr u64 PAGE = 4096;

  // Between which barriers (eras go on over launches), and how many warp barriers the thread had met.
  struct Moment {
    u32 era, count;
    u16 thread;  // or LIST: lists[count]; or SEVERAL, of different warps
  };

  struct Cell {
    Moment write, read;   // the last ones
    u32 others_read_era;  // when another block has read it
    bool is_atomic;       // the write
  };

  // Cells of 1 << shift bytes; they become smaller once a smaller part is accessed.
  struct Page {
    u64 number;
    u32 shift;
    std::vector<Cell> cells;
  };

  // Readers of one warp.
  struct List {
    u32 warp, count[LANES];  // of each lane that read, else 0
  };

  std::unordered_map<u64, Page> pages;
  Page* recent[256] = {};  // by the last bits of their numbers
  std::vector<List> lists;  // of this era
  u32 era = 1, launch_era = 1, block_era = 1, since = 1, me = 0;
  u32 known[THREADS][LANES] = {};  // of each thread and lane of its warp: the count up to which its accesses are ordered

  Page& page_of(u64 at, u64 address, u64 bytes) {
    const u64 number = at / PAGE;
    Page*& page = recent[number % 256];
    if (!page || page->number != number) {
      page = &pages[number];
      if (page->cells.empty()) *page = {number, 2, std::vector<Cell>(PAGE >> 2)};
    }
    while ((address | bytes) & ((1u << page->shift) - 1)) split(*page);
    return *page;
  }

  void split(Page& page) {
    std::vector<Cell> halves;
    for (const Cell& cell : page.cells) halves.insert(halves.end(), 2, cell);
    page.cells.swap(halves);
    page.shift--;
  }

  Moment now() const { return {era, known[me][me % LANES], static_cast<u16>(me)}; }

  bool knows(u32 thread, u32 count) const {
    return thread == me || (thread / LANES == me / LANES && known[me][thread % LANES] >= count);
  }

  // The thread whose access at that moment is not ordered before this one, or -1.
  int unordered(const Moment& moment) const {
    if (moment.era < since) return -1;
    if (moment.era < block_era) return Race::OTHER_BLOCK;
    if (moment.era < era || moment.thread == me) return -1;
    if (moment.thread == Race::SEVERAL) return Race::SEVERAL;
    if (moment.thread == LIST) {
      const List& list = lists[moment.count];
      for (u32 lane = 0; lane < LANES; lane++)
        if (list.count[lane] && !knows(list.warp * LANES + lane, list.count[lane]))
          return static_cast<int>(list.warp * LANES + lane);
      return -1;
    }
    return knows(moment.thread, moment.count) ? -1 : moment.thread;
  }

  Race access(Cell& cell, Access kind) {
    const int writer = kind == ATOMIC && cell.is_atomic ? -1 : unordered(cell.write);
    if (writer >= 0) return {true, true, static_cast<u32>(writer)};
    if (kind == READ) {
      note_read(cell);
      return {};
    }
    if (cell.others_read_era >= since) return {true, false, Race::OTHER_BLOCK};
    const int reader = unordered(cell.read);
    if (reader >= 0) return {true, false, static_cast<u32>(reader)};
    // Whoever is ordered after this write is so after what was read before it.
    cell = {now(), {}, 0, kind == ATOMIC};
    return {};
  }

  void note_read(Cell& cell) {
    Moment& read = cell.read;
    if (read.era >= since && read.era < block_era) cell.others_read_era = read.era;
    if (read.era != era || unordered(read) < 0)
      read = now();
    else
      add_reader(read);
  }

  // Beside those there, which are not all ordered before.
  void add_reader(Moment& read) {
    if (read.thread == Race::SEVERAL) return;
    const u32 warp = read.thread == LIST ? lists[read.count].warp : read.thread / LANES;
    if (warp != me / LANES) {
      read.thread = Race::SEVERAL;
      return;
    }
    if (read.thread != LIST) {
      lists.push_back({warp, {}});
      lists.back().count[read.thread % LANES] = read.count;
      read.thread = LIST, read.count = static_cast<u32>(lists.size() - 1);
    }
    lists[read.count].count[me % LANES] = known[me][me % LANES];
  }
};

}  // namespace symopt_emulator

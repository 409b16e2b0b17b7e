// Where guarded arrays lie, for accesses beside them.
#pragma once
#include <algorithm>
#include <cstring>

#include "emulator.h"

namespace symopt_emulator {

// A guarded array: bytes [start, stop) of the memory [from, to).
struct Region {
  u64 from, start, stop, to;
};

class Regions {
 public:
  // By ascending addresses.
  void start_launch(const Region* regions, u64 n) {
    first = regions, end = regions + n;
    memset(recent, 0, sizeof(recent));
  }

  // Whether any of these bytes is in the memory of an array and not in the array.
  bool is_beside(u64 address, u64 bytes) {
    const Region* region = last_from(address);
    if (!region || address >= region->to) return false;
    return address < region->start || address + bytes > region->stop;
  }

 private:
  const Region *first, *end;
  const Region* recent[256];  // by bits of addresses in them

  // The last region that begins at or before the address; nullptr if there is none.
  const Region* last_from(u64 address) {
    const Region*& known = recent[address / 4096 % 256];
    if (known && known->from <= address && address < known->to) return known;
    const Region* next = std::upper_bound(first, end, address, [](u64 at, const Region& r) { return at < r.from; });
    return next == first ? nullptr : known = next - 1;
  }
};

}  // namespace symopt_emulator

"""How unevenly shards are loaded, and how long steps wait for the slowest: the tables of docs/scale.md.

python benchmarks/skew.py [IDS]    ids that are drawn: 20,000,000 if not given, which takes 15 s and 2 GB
"""

from __future__ import annotations

import sys

from symopt.scale import simulate_skew, skew_text, staleness_text

EXPONENTS, SHARDS = (1.05, 1.2), (64, 1024)


def main() -> None:
    ids = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000
    print(f"{ids:,} ids of 10**12, Zipf: the fullest shard's load by the average\n")
    print(skew_text([each for a in EXPONENTS for each in simulate_skew(a, SHARDS, ids=ids)]))
    print("\nthe same, all ids multiples of 64\n")
    print(skew_text([each for a in EXPONENTS for each in simulate_skew(a, SHARDS, ids=ids, stride=64)]))
    print("\nseconds of a step by those of the average shard, times lognormal with a deviation of 0.25\n")
    print(staleness_text())


if __name__ == "__main__":
    main()

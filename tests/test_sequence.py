"""Exactly once and in order, whatever comes: Sequence beside the simplest thing that is right."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.distributed.sequence import DUP, FENCED, GAP, HELD, Sequence

WINDOW, EPOCH, STEPS = 5, 3, 8
RANKS = st.lists(st.integers(1, 3), min_size=STEPS, max_size=STEPS)
OFFERS = st.lists(
    st.tuples(st.integers(EPOCH - 1, EPOCH + 1), st.integers(1, STEPS), st.integers(0, 2)), max_size=60
)


class Model:
    """All parts that were ever taken, as a set; what is done is looked up in it."""

    def __init__(self) -> None:
        self.taken: set[tuple[int, int]] = set()
        self.done = 0

    def offer(self, epoch: int, step: int, rank: int) -> str:
        if epoch != EPOCH:
            return FENCED
        if step <= self.done or (step, rank) in self.taken:
            return DUP
        if step > self.done + WINDOW:
            return GAP
        self.taken.add((step, rank))
        return HELD

    def due(self, ranks: list[int]) -> list[tuple[int, int]] | None:
        step = self.done + 1
        if step > STEPS:
            return None
        parts = [(step, rank) for rank in range(ranks[step - 1])]
        return parts if self.taken.issuperset(parts) else None


@settings(max_examples=300, deadline=None)
@given(RANKS, OFFERS)
def test_offers_are_answered_and_done_as_the_model_says(
    ranks: list[int], offers: list[tuple[int, int, int]]
) -> None:
    sequence, model = Sequence(EPOCH, 0, WINDOW), Model()
    answers = []
    for epoch, step, rank in offers:
        if rank >= ranks[step - 1]:
            continue
        answers.append(sequence.offer(epoch, step, rank, ranks[step - 1], (step, rank)))
        assert answers[-1] == model.offer(epoch, step, rank)
        while (parts := model.due(ranks)) is not None:
            assert sequence.due() == parts
            sequence.finish()
            model.done += 1
        assert sequence.due() is None and sequence.done == model.done
        assert sequence.n_held == sum(step > model.done for step, _ in model.taken)
    assert [sequence.dups, sequence.gaps, sequence.fenced] == [answers.count(x) for x in (DUP, GAP, FENCED)]


@settings(max_examples=100, deadline=None)
@given(RANKS, st.randoms(use_true_random=False), st.integers(0, STEPS))
def test_every_order_and_number_of_copies_does_all_steps_once(
    ranks: list[int], random: object, done: int
) -> None:
    parts = [(step, rank) for step in range(1, STEPS + 1) for rank in range(ranks[step - 1])] * 2
    random.shuffle(parts)  # type: ignore[attr-defined]
    sequence, found = Sequence(EPOCH, done, WINDOW), []
    while parts:
        step, rank = parts.pop(0)
        if sequence.offer(EPOCH, step, rank, ranks[step - 1], (step, rank)) == GAP:
            parts.append((step, rank))
        while (due := sequence.due()) is not None:
            found += due
            sequence.finish()
    assert found == [(step, rank) for step in range(done + 1, STEPS + 1) for rank in range(ranks[step - 1])]
    assert sequence.n_held == 0

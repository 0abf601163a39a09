//! The kernel's account of a budget: seL4's refills in their constant-bandwidth form.
//!
//! After `src/kernel/sporadic.c` of seL4: a list of pieces, each an amount and the time from which it may be used. The head
//! moves to the present whenever the thread gets the processor, so what is used at an instant comes back a period after that
//! instant. Pieces that touch are joined; where the list is full, new use joins the last piece and delays it.

use std::collections::VecDeque;

/// A piece of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    from_ns: u64,
    amount_ns: u64,
}

impl Piece {
    fn end_ns(self) -> u64 {
        self.from_ns + self.amount_ns
    }
}

/// The refills of a scheduling context. Never empty; all amounts together are the budget.
#[derive(Debug, Clone)]
pub(super) struct Refills {
    pieces: VecDeque<Piece>,
    period_ns: u64,
    most: usize,
    minimum_ns: u64,
}

impl Refills {
    /// Full, from the beginning of time. The kernel has at least two pieces.
    pub(super) fn new(budget_ns: u64, period_ns: u64, most: usize, minimum_ns: u64) -> Self {
        let whole = Piece { from_ns: 0, amount_ns: budget_ns };
        Self { pieces: VecDeque::from([whole]), period_ns, most: most.max(2), minimum_ns }
    }

    /// When the thread may run next.
    pub(super) fn ready_at_ns(&self) -> u64 {
        self.head().from_ns
    }

    /// How long it may run without a stop.
    pub(super) fn left_ns(&self) -> u64 {
        self.head().amount_ns
    }

    /// Whether it could run now.
    pub(super) fn is_ready(&self, now_ns: u64) -> bool {
        self.ready_at_ns() <= now_ns
    }

    /// The thread gets the processor.
    pub(super) fn take_up(&mut self, now_ns: u64) {
        if !self.is_ready(now_ns) {
            return;
        }
        self.pieces[0].from_ns = now_ns;
        while let Some(second) = self.pieces.get(1).copied() {
            if second.from_ns > self.head().end_ns() {
                break;
            }
            self.pieces.remove(1);
            self.pieces[0].amount_ns += second.amount_ns;
        }
    }

    /// It ran so long since it was taken up or charged last; at most what is left.
    pub(super) fn charge(&mut self, used_ns: u64) {
        let head = self.head();
        if used_ns == 0 {
            return;
        }
        let used = Piece { from_ns: head.from_ns + self.period_ns, amount_ns: used_ns.min(head.amount_ns) };
        if used.amount_ns == head.amount_ns {
            self.pieces.pop_front();
        } else {
            self.pieces[0] = Piece { from_ns: head.from_ns + used_ns, amount_ns: head.amount_ns - used_ns };
        }
        self.give_back_later(used);
        self.join_small_head();
    }

    fn head(&self) -> Piece {
        self.pieces[0]
    }

    fn give_back_later(&mut self, used: Piece) {
        let full = self.pieces.len() == self.most;
        match self.pieces.back_mut() {
            Some(tail) if tail.end_ns() >= used.from_ns => tail.amount_ns += used.amount_ns,
            Some(tail) if full => {
                tail.from_ns = used.from_ns - tail.amount_ns;
                tail.amount_ns += used.amount_ns;
            }
            _ => self.pieces.push_back(used),
        }
    }

    /// A piece with which the kernel starts nobody waits for the next one.
    fn join_small_head(&mut self) {
        while self.head().amount_ns < self.minimum_ns && self.pieces.len() > 1 {
            let small_ns = self.head().amount_ns;
            self.pieces.pop_front();
            self.pieces[0].amount_ns += small_ns;
            self.pieces[0].from_ns -= small_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Seeded, Refills};

    fn runs(refills: &mut Refills, at_ns: u64, for_ns: u64) {
        refills.take_up(at_ns);
        refills.charge(for_ns);
    }

    #[test]
    fn what_is_used_comes_back_a_period_after_its_use() {
        let mut refills = Refills::new(100, 1000, 10, 0);
        runs(&mut refills, 300, 100);
        assert_eq!((refills.ready_at_ns(), refills.left_ns()), (1300, 100));
        runs(&mut refills, 2000, 40);
        assert_eq!((refills.ready_at_ns(), refills.left_ns()), (2040, 60));
        runs(&mut refills, 2500, 60);
        assert_eq!((refills.ready_at_ns(), refills.left_ns()), (3000, 40), "the first piece, a period after its use");
    }

    #[test]
    fn a_piece_that_is_too_small_waits_for_the_next() {
        let mut refills = Refills::new(100, 1000, 10, 20);
        runs(&mut refills, 0, 90);
        assert_eq!((refills.ready_at_ns(), refills.left_ns()), (990, 100));
    }

    #[test]
    fn a_full_list_gives_back_late() {
        let mut refills = Refills::new(100, 1000, 3, 0);
        for at_ns in [0, 100, 200, 300] {
            runs(&mut refills, at_ns, 10);
        }
        // Three pieces: the rest, what was used first, and everything after it, not before a period after the last use.
        runs(&mut refills, 400, 60);
        assert_eq!((refills.ready_at_ns(), refills.left_ns()), (1000, 10));
        runs(&mut refills, 1000, 10);
        assert!(refills.ready_at_ns() > 1100, "used at 100, and late: {}", refills.ready_at_ns());
    }

    /// The property on which the analysis rests where the kernel alone is trusted.
    #[test]
    fn no_stretch_of_a_period_sees_more_than_the_budget() {
        let mut choices = Seeded::new(7);
        for _ in 0..200 {
            let (budget_ns, period_ns) = (1 + choices.below(300), 300 + choices.below(700));
            let most = 2 + usize::try_from(choices.below(9)).unwrap();
            let mut refills = Refills::new(budget_ns, period_ns, most, choices.below(20).min(budget_ns));
            let mut used = std::vec::Vec::new();
            let mut now_ns = 0;
            while now_ns < 20 * period_ns {
                now_ns = refills.ready_at_ns().max(now_ns) + choices.below(3) * choices.below(200);
                refills.take_up(now_ns);
                let for_ns = (1 + choices.below(budget_ns)).min(refills.left_ns());
                refills.charge(for_ns);
                used.push((now_ns, now_ns + for_ns));
                now_ns += for_ns;
            }
            for (from_ns, _) in used.clone() {
                let within =
                    |(from, to): &(u64, u64)| to.min(&(from_ns + period_ns)).saturating_sub(*from.max(&from_ns));
                let seen: u64 = used.iter().map(within).sum();
                assert!(seen <= budget_ns, "{seen} of {budget_ns} in a stretch of {period_ns} from {from_ns}");
            }
        }
    }
}

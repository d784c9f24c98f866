//! What must be read of an account: its balance after each of its events, which are all known.

use factum::Position;

use crate::money::{Money, Sum};

/// What happened to an account in one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Position,
    pub(super) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    In(Money),
    Out(Money),
}

/// A balance that was shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) balance: Option<Sum>,
    /// How far the read model was.
    pub(super) checkpoint: Position,
    /// How far it had to be.
    pub(super) at_least: Position,
}

/// What became of reads.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) right: u64,
    pub(super) wrong: Vec<String>,
}

/// One account.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The balance after each event, by position.
    balances: Vec<(Position, Sum)>,
    /// Entries that came since.
    new: Vec<Entry>,
    /// How many commands are under way: what they record is not known yet, but may be shown already.
    under_way: usize,
    /// What was shown meanwhile.
    waiting: Vec<Shown>,
    /// What became of a command is not known and never will be.
    pub(super) doubtful: bool,
}

impl Book {
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A command has ended, with what it recorded.
    pub(super) fn end(&mut self, recorded: Option<Entry>, id: &str, verdicts: &mut Verdicts) {
        self.under_way -= 1;
        self.new.extend(recorded);
        if self.under_way == 0 && !self.doubtful {
            self.settle();
            for shown in std::mem::take(&mut self.waiting) {
                self.judge(&shown, id, verdicts);
            }
        }
    }

    /// Judges what was shown, now or as soon as all is known that it may show.
    pub(super) fn show(&mut self, shown: Shown, id: &str, verdicts: &mut Verdicts) {
        if self.under_way > 0 {
            self.waiting.push(shown);
        } else {
            self.judge(&shown, id, verdicts);
        }
    }

    fn settle(&mut self) {
        self.new.sort_by_key(|entry| entry.at);
        let Some(first) = self.new.first() else { return };
        // Commands end in another order than they were recorded in.
        let keep = self.balances.partition_point(|(at, _)| *at < first.at);
        debug_assert_eq!(keep, self.balances.len(), "what is settled has nothing before it that is not known");
        let mut balance = self.balances.last().map_or(Sum::ZERO, |(_, balance)| *balance);
        for Entry { at, change } in self.new.drain(..) {
            match change {
                Change::Opened => {}
                Change::In(amount) => balance.add(amount),
                Change::Out(amount) => balance.subtract(amount),
            }
            self.balances.push((at, balance));
        }
    }

    fn judge(&self, shown: &Shown, id: &str, verdicts: &mut Verdicts) {
        if self.doubtful {
            return;
        }
        let (at, at_least) = (shown.checkpoint, shown.at_least);
        let known = self.balances.partition_point(|(position, _)| *position <= at);
        let expected = known.checked_sub(1).map(|last| self.balances[last].1);
        let show = |balance: Option<Sum>| balance.map_or_else(|| "nothing".to_owned(), |balance| balance.to_string());
        if at < at_least {
            verdicts.wrong.push(format!(
                "wrong: account {id} was shown as of position {at}, and {at_least} had been written or read before"
            ));
        } else if shown.balance != expected {
            let (shown, expected) = (show(shown.balance), show(expected));
            verdicts
                .wrong
                .push(format!("wrong: account {id} was shown with {shown} as of position {at}; it had {expected}"));
        } else {
            verdicts.right += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, change: Change) -> Entry {
        Entry { at: Position::new(at), change }
    }

    fn shown(balance: Option<i64>, checkpoint: u64, at_least: u64) -> Shown {
        let balance = balance.map(|minor| Sum::ZERO.less(Money::minor(-minor)));
        Shown { balance, checkpoint: Position::new(checkpoint), at_least: Position::new(at_least) }
    }

    fn book() -> Book {
        let (mut book, mut verdicts) = (Book::default(), Verdicts::default());
        let changes = [(3, Change::Opened), (5, Change::In(Money::minor(500))), (9, Change::Out(Money::minor(200)))];
        for (at, change) in changes {
            book.begin();
            book.end(Some(entry(at, change)), "1", &mut verdicts);
        }
        book
    }

    fn judged(book: &mut Book, shown: Shown) -> Verdicts {
        let mut verdicts = Verdicts::default();
        book.show(shown, "1", &mut verdicts);
        verdicts
    }

    #[test]
    fn what_was_true_at_its_checkpoint_is_right_and_nothing_else() {
        for (balance, at) in [(None, 2), (Some(0), 3), (Some(0), 4), (Some(500), 5), (Some(500), 8), (Some(300), 9)] {
            assert_eq!(judged(&mut book(), shown(balance, at, 0)).right, 1, "{balance:?} at {at}");
        }
        for (balance, at) in [(Some(0), 2), (None, 3), (Some(300), 8), (Some(500), 9), (Some(499), 5), (Some(0), 90)] {
            let verdicts = judged(&mut book(), shown(balance, at, 0));
            assert_eq!((verdicts.right, verdicts.wrong.len()), (0, 1), "{balance:?} at {at}");
        }
    }

    #[test]
    fn what_is_older_than_what_was_written_is_wrong() {
        let verdicts = judged(&mut book(), shown(Some(500), 8, 9));
        assert!(verdicts.wrong[0].contains("position 8, and 9 had been"), "{:?}", verdicts.wrong);
        assert_eq!(judged(&mut book(), shown(Some(300), 9, 9)).right, 1);
    }

    /// What is under way may be shown before its sender has heard of it, and two commands end in any order.
    #[test]
    fn what_was_shown_meanwhile_is_judged_once_all_is_known() {
        let (mut book, mut verdicts) = (book(), Verdicts::default());
        book.begin();
        book.begin();
        book.show(shown(Some(1_300), 12, 9), "1", &mut verdicts);
        book.show(shown(Some(1_299), 12, 9), "1", &mut verdicts);
        book.end(Some(entry(14, Change::Out(Money::minor(300)))), "1", &mut verdicts);
        assert_eq!((verdicts.right, verdicts.wrong.len()), (0, 0));
        book.end(Some(entry(12, Change::In(Money::minor(1_000)))), "1", &mut verdicts);
        assert_eq!((verdicts.right, verdicts.wrong.len()), (1, 1));
        assert_eq!(judged(&mut book, shown(Some(1_000), 14, 14)).right, 1);
    }
}

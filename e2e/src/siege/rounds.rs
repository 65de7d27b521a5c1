//! What schedules are made of, whatever is troubled: rounds of faults, each with its moment, and the deck that faults are dealt from.

use fastrand::Rng;
use std::fmt;

/// A trouble, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<F> {
    /// When it begins, in milliseconds since the round did.
    pub at_millis: u64,
    /// How long it lasts, in milliseconds; zero where it is over as soon as it is done.
    pub lasts_millis: u64,
    /// What.
    pub fault: F,
}

/// How everything is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// While other troubles last.
    Amid,
    /// After they have ended, under load.
    InPeace,
}

/// What is done to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// The round's fault of this number begins.
    Begin(usize),
    /// And ends.
    End(usize),
}

/// A round: troubles, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round<F> {
    /// The troubles, in the order of their beginnings.
    pub faults: Vec<Planned<F>>,
    /// Whether everything is lost at its end.
    pub loss: Option<Loss>,
}

impl<F> Round<F> {
    /// What is to be done, and when, in milliseconds since the round began. A loss amid troubles comes before the last of them have ended.
    pub fn acts(&self) -> Vec<(u64, Act)> {
        let both = |(nth, planned): (usize, &Planned<F>)| {
            [(planned.at_millis, Act::Begin(nth)), (planned.at_millis + planned.lasts_millis, Act::End(nth))]
        };
        let mut acts: Vec<_> = self.faults.iter().enumerate().flat_map(both).collect();
        acts.sort_by_key(|(at, _)| *at);
        if self.loss == Some(Loss::Amid) {
            let last = acts.iter().rposition(|(_, act)| matches!(act, Act::Begin(_)));
            acts.truncate(last.map_or(0, |last| last + 1));
        }
        acts
    }
}

/// Rounds in words, a line for each trouble.
pub fn lines<F: fmt::Display>(rounds: &[Round<F>]) -> impl Iterator<Item = String> {
    rounds.iter().enumerate().flat_map(|(nth, round)| {
        let line = move |Planned { at_millis, lasts_millis, fault }: &Planned<F>| match lasts_millis {
            0 => format!("round {nth}: at {at_millis} ms: {fault}"),
            _ => format!("round {nth}: at {at_millis} ms for {lasts_millis} ms: {fault}"),
        };
        let loss = round.loss.map(|loss| format!("round {nth}: ends in the loss of everything, {loss:?}"));
        round.faults.iter().map(line).chain(loss)
    })
}

/// Cards that are dealt until none is left, and then shuffled anew: each comes as often as it is in the deck, in another order.
#[derive(Clone, Debug)]
pub struct Deck<C: 'static> {
    cards: &'static [C],
    left: Vec<C>,
}

impl<C: Clone> Deck<C> {
    /// A deck of at least one card.
    pub fn of(cards: &'static [C]) -> Deck<C> {
        Deck { cards, left: Vec::new() }
    }

    /// The next card.
    pub fn deal(&mut self, random: &mut Rng) -> C {
        if self.left.is_empty() {
            self.left = self.cards.to_vec();
            random.shuffle(&mut self.left);
        }
        self.left.pop().expect("the deck was filled above, and no deck is without cards")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_amid_troubles_comes_before_they_end() {
        let planned = |at_millis| Planned { at_millis, lasts_millis: 100, fault: "stop" };
        let mut round = Round { faults: vec![planned(0), planned(50), planned(500)], loss: Some(Loss::InPeace) };
        assert_eq!(round.acts().len(), 6);
        assert_eq!(round.acts()[..3], [(0, Act::Begin(0)), (50, Act::Begin(1)), (100, Act::End(0))]);
        round.loss = Some(Loss::Amid);
        assert_eq!(round.acts().last(), Some(&(500, Act::Begin(2))));
    }
}

//! Contenders that take turns, so that what disturbs one disturbs all.

use std::time::Duration;

use super::Setting;
use crate::Result;
use crate::measure::{Cost, Stopwatch, median};

/// If one round takes longer than this, there are fewer of them.
const LONG: Duration = Duration::from_secs(2);
const FEW_ROUNDS: usize = 7;

/// Does the work so many times.
pub(super) type Run<'r> = Box<dyn FnMut(usize) -> Result<Cost> + 'r>;

/// What one contender has cost.
pub(super) struct Measured {
    pub(super) name: String,
    /// How often it did the work in each of its turns.
    times: usize,
    turn: Duration,
    costs: Vec<Cost>,
}

/// Of one of them, how long its work takes, or how much CPU.
pub(super) type Value = fn(Cost, usize) -> f64;

pub(super) const CPU: Value = |cost, times| cost.cpu.as_secs_f64() / times as f64;
pub(super) const WALL: Value = |cost, times| cost.wall.as_secs_f64() / times as f64;

/// Work in this process and in this thread.
pub(super) fn here<'r>(mut work: impl FnMut() -> Result<()> + 'r) -> Run<'r> {
    Box::new(move |times| {
        let watch = Stopwatch::start();
        for _ in 0..times {
            work()?;
        }
        Ok(watch.stop())
    })
}

/// Lets all of them work in turn. Each works a multiple of `least` times in a turn.
pub(super) fn alternate(
    setting: &Setting,
    least: usize,
    contenders: Vec<(&str, Run<'_>)>,
) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let mut runs = Vec::new();
    for (name, mut run) in contenders {
        let (times, turn) = times_in_a_turn(setting, least, &mut run)?;
        measured.push(Measured {
            name: name.to_owned(),
            times,
            turn,
            costs: Vec::new(),
        });
        runs.push(run);
    }
    let round: Duration = measured.iter().map(|it| it.turn).sum();
    let rounds = if round > LONG {
        setting.rounds.min(FEW_ROUNDS)
    } else {
        setting.rounds
    };
    // Each round begins with another one, so that none has always the same one before it.
    for round in 0..rounds {
        for place in 0..runs.len() {
            let next = (round + place) % runs.len();
            let it = &mut measured[next];
            let cost = runs[next](it.times)?;
            it.costs.push(cost);
        }
    }
    Ok(measured)
}

/// How often, and how long that takes. Warms up, too.
fn times_in_a_turn(
    setting: &Setting,
    least: usize,
    run: &mut Run<'_>,
) -> Result<(usize, Duration)> {
    let mut times = least;
    loop {
        let wall = run(times)?.wall;
        if wall * 2 >= setting.turn {
            return Ok((times, wall));
        }
        times *= 2;
    }
}

impl Measured {
    pub(super) fn median(&self, value: Value) -> f64 {
        let values = self.costs.iter().map(|&cost| value(cost, self.times));
        median(values.collect())
    }

    /// The median of the ratios of each round.
    pub(super) fn ratio(&self, other: &Self, value: Value) -> f64 {
        let pairs = self.costs.iter().zip(&other.costs);
        let ratios = pairs.map(|(&it, &that)| value(it, self.times) / value(that, other.times));
        median(ratios.collect())
    }
}

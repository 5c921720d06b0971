//! The threats of a response, each once. Servers name one threat in several fields, and only some say of
//! what type it is, or in which file.

use super::threat::Threat;

/// More threats than this help nobody, and comparing them would take a hostile server's time.
pub(super) const MAX_THREATS: usize = 100;

/// Threats, each once, up to a number.
#[derive(Default)]
pub(super) struct Found {
    threats: Vec<Threat>,
    /// Whether there is a threat that had no room. Whatever is said of its name later, it counts.
    has_more: bool,
}

impl Found {
    pub(super) fn extend(&mut self, threats: impl IntoIterator<Item = Threat>) {
        for threat in threats {
            self.add(threat);
        }
    }

    /// Adds what a threat says to the one that it may be. Without a name, a threat is never taken for
    /// something that only hindered the scan.
    fn add(&mut self, threat: Threat) {
        let is_real = threat.hindrance().is_none();
        let are_unnamed = |known: &Threat| known.name.is_none() && threat.name.is_none();
        let same = |known: &&mut Threat| {
            let is_as_real = are_unnamed(known) && known.hindrance().is_none() == is_real;
            known.may_be(&threat) && (is_as_real || known.is_named_as(&threat))
        };
        // What is no threat must leave room for what is one.
        let room = if is_real {
            MAX_THREATS
        } else {
            MAX_THREATS / 2
        };
        if let Some(known) = self.threats.iter_mut().find(same) {
            known.absorb(threat);
        } else if self.threats.len() < room {
            self.threats.push(threat);
        } else {
            self.has_more |= is_real && !self.names(&threat);
        }
    }

    fn names(&self, threat: &Threat) -> bool {
        self.threats.iter().any(|known| known.is_named_as(threat))
    }

    /// All of them, with those of fields that sum up in a word what these say in full.
    pub(super) fn with_summaries(mut self, summaries: Self) -> Vec<Threat> {
        // What only hindered must be known as such before a word may describe it.
        share_kinds(&mut self.threats);
        let (known, mut others): (Vec<_>, Vec<_>) = summaries
            .threats
            .into_iter()
            .partition(|summary| self.names(summary));
        let is_named = |threat: &&mut Threat| threat.name.is_some() && threat.hindrance().is_none();
        let named = sole(self.threats.iter_mut().filter(is_named));
        // One threat, and one word beside its name: that says what it is.
        let place = named.map(|threat| &mut threat.description);
        if let Some(place) = place.filter(|place| place.is_none() && others.len() == 1) {
            *place = others.pop().and_then(|word| word.name);
        }
        self.extend(known.into_iter().chain(others));
        let has_more = self.has_more || summaries.has_more;
        self.threats.extend(has_more.then(Threat::default));
        self.threats
    }
}

/// One name is of one kind, the worst that is given, in however many files it was found.
fn share_kinds(threats: &mut [Threat]) {
    for at in 0..threats.len() {
        let named = |threat: &&Threat| threat.is_named_as(&threats[at]);
        let kinds = threats.iter().filter(named).filter_map(Threat::kind);
        threats[at].kind = kinds.min().or(threats[at].kind);
    }
}

/// A threat without a name is one of those with a name, if there are any.
pub(super) fn named_ones(threats: Vec<Threat>) -> Vec<Threat> {
    let (mut named, unnamed): (Vec<_>, Vec<_>) = threats
        .into_iter()
        .partition(|threat| threat.name.is_some());
    if named.is_empty() {
        return unnamed;
    }
    if let [only] = named.as_mut_slice() {
        for threat in unnamed {
            if only.may_be(&threat) {
                only.absorb(threat);
            }
        }
    }
    named
}

/// The only item.
fn sole<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Threats;
    use crate::evidence::tests::{evidence, is_infected, threats};

    #[test]
    fn a_flood_of_findings_is_bounded_and_does_not_hide_the_worst() {
        let limits: Vec<_> = (0..1000)
            .map(|n| format!("Heuristics.Limits.Exceeded.{n}"))
            .collect();
        let found = threats(&format!("X-Virus-ID: {}, Eicar\r\n", limits.join(",")));
        assert_eq!(Threats(found).to_string(), "Eicar");
        let names: Vec<_> = (1..20_000).map(|n| n.to_string()).collect();
        let found = threats(&format!("X-Virus-Name: {}\r\n", names.join(",")));
        assert_eq!(found.len(), MAX_THREATS);
    }

    /// `count` violations, in a file each.
    fn violations(name: &str, count: usize) -> String {
        let each = (0..count).map(|n| format!("\tf{n}\r\n\t{name}\r\n\t1\r\n\t2\r\n"));
        format!(
            "X-Violations-Found: {count}\r\n{}",
            each.collect::<String>()
        )
    }

    const LOCKED: &str = "X-Infection-Found: Type=2; Threat=Locked;\r\n";

    #[test]
    fn what_is_said_in_great_number_and_then_of_no_threat_does_not_hide_one() {
        let many = violations("Locked", MAX_THREATS);
        let last = "\tevil.exe\r\n\tEicar\r\n\t1\r\n\t2\r\n";
        for fields in [
            format!("{many}{last}{LOCKED}"),
            format!("{LOCKED}{many}{last}"),
        ] {
            assert!(is_infected(&fields), "{fields}");
        }
        let names: Vec<_> = (0..MAX_THREATS).map(|n| format!("L{n}")).collect();
        let names = names.join(",");
        let fields = format!(
            "X-Virus-Name: {names}\r\nX-Virus-Name: Eicar\r\nX-Infection-Found: Type=2; Threat={names}\r\n"
        );
        assert!(is_infected(&fields), "{fields}");
    }

    #[test]
    fn a_name_that_is_said_again_takes_no_room() {
        let names = "Locked,".repeat(2 * MAX_THREATS);
        let found = threats(&format!("X-Virus-ID: {names}Eicar\r\n{LOCKED}"));
        assert_eq!(Threats(found).to_string(), "Eicar");
        // Nor is one an unknown threat because it is in more files than are listed.
        let many = violations("Locked", 2 * MAX_THREATS);
        assert!(!is_infected(&format!("{many}{LOCKED}")));
        assert!(evidence(&format!("{many}{LOCKED}")).is_some());
    }

    #[test]
    fn what_is_said_of_no_name_is_not_said_of_one_of_two() {
        let fields = "X-Infection-Found: Type=0\r\nX-Virus-Name: A, B\r\nX-Infection-Found: Threat=A\r\nX-Infection-Found: Threat=B\r\n";
        let found = threats(fields);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|threat| threat.kind().is_none()));
    }

    #[test]
    fn a_word_beside_what_only_hindered_is_a_threat_in_however_many_files() {
        let fields = format!("{LOCKED}{}X-Virus-ID: Eicar\r\n", violations("Locked", 2));
        assert_eq!(Threats(threats(&fields)).to_string(), "Eicar");
    }
}

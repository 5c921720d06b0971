//! The threats of a response, each once. Servers name one threat in several fields, and only some of these give
//! its kind or its file.

use super::threat::Threat;
use crate::proto::limits::MAX_THREATS;

/// Threats, each once, up to [`MAX_THREATS`].
#[derive(Default)]
pub(super) struct ThreatSet {
    threats: Vec<Threat>,
    /// A threat had no room. It counts, whatever a later field says about its name.
    has_more: bool,
}

impl ThreatSet {
    pub(super) fn extend(&mut self, threats: impl IntoIterator<Item = Threat>) {
        for threat in threats {
            self.add(threat);
        }
    }

    /// Adds a threat. If it is compatible with a known one, that one takes over its properties. An unnamed threat is
    /// never merged with a finding that only hindered the scan.
    fn add(&mut self, threat: Threat) {
        let is_real = threat.hindrance().is_none();
        let are_unnamed = |known: &Threat| known.name.is_none() && threat.name.is_none();
        let same = |known: &&mut Threat| {
            let is_as_real = are_unnamed(known) && known.hindrance().is_none() == is_real;
            known.is_compatible(&threat) && (is_as_real || known.is_named_as(&threat))
        };
        // Findings that are no threat must leave room for threats.
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

    /// All threats, and the `summaries`: threats of fields that may only have a word for what other fields name in full.
    pub(super) fn with_summaries(mut self, summaries: Self) -> Vec<Threat> {
        // A finding that only hindered the scan must be known as such before a word may describe it.
        share_kinds(&mut self.threats);
        let (known, mut others): (Vec<_>, Vec<_>) = summaries
            .threats
            .into_iter()
            .partition(|summary| self.names(summary));
        let is_named = |threat: &&mut Threat| threat.name.is_some() && threat.hindrance().is_none();
        let named = sole(self.threats.iter_mut().filter(is_named));
        // One threat, and one word beside its name: the word describes it.
        let place = named.map(|threat| &mut threat.description);
        if let Some(place) = place.filter(|place| place.is_none() && others.len() == 1) {
            *place = others.pop().and_then(|word| word.name);
        }
        self.extend(known.into_iter().chain(others));
        let has_more = self.has_more || summaries.has_more;
        self.threats.extend(has_more.then(Threat::unnamed));
        self.threats
    }
}

/// Gives each threat of one name the worst kind that any of them has, in however many files it was found.
fn share_kinds(threats: &mut [Threat]) {
    for at in 0..threats.len() {
        let named = |threat: &&Threat| threat.is_named_as(&threats[at]);
        let kinds = threats.iter().filter(named).filter_map(Threat::kind);
        threats[at].kind = kinds.min().or(threats[at].kind);
    }
}

/// The threats of all origins, each once.
pub(super) fn merged(threats: Vec<Threat>) -> Vec<Threat> {
    let mut set = ThreatSet::default();
    set.extend(threats);
    named_ones(set.with_summaries(ThreatSet::default()))
}

/// Drops the unnamed threats if any has a name: each is one of these.
fn named_ones(threats: Vec<Threat>) -> Vec<Threat> {
    let (mut named, unnamed): (Vec<_>, Vec<_>) = threats
        .into_iter()
        .partition(|threat| threat.name.is_some());
    if named.is_empty() {
        return unnamed;
    }
    if let [only] = named.as_mut_slice() {
        for threat in unnamed {
            if only.is_compatible(&threat) {
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
    use crate::evidence::tests::{evidence, is_infected, shown, threats};
    use crate::evidence::threat::ThreatKind;
    use crate::proto::limits::MAX_DISPLAY;

    #[test]
    fn flood_of_findings_does_not_hide_the_worst() {
        let limits: Vec<_> = (0..1000)
            .map(|n| format!("Heuristics.Limits.Exceeded.{n}"))
            .collect();
        let found = threats(&format!("X-Virus-ID: {}, Eicar\r\n", limits.join(",")));
        assert_eq!(shown(found), "Eicar");
        let names: Vec<_> = (1..20_000).map(|n| n.to_string()).collect();
        let found = threats(&format!("X-Virus-Name: {}\r\n", names.join(",")));
        assert_eq!(found.len(), MAX_THREATS);
    }

    #[test]
    fn threats_are_kept_up_to_the_limit() {
        for count in [MAX_THREATS - 1, MAX_THREATS, MAX_THREATS + 1] {
            let found = threats(&violations("A", count));
            assert_eq!(found.len(), count.min(MAX_THREATS), "{count}");
        }
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
    fn many_unscannable_files_do_not_hide_a_threat() {
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
    fn repeated_name_takes_no_room() {
        let names = "Locked,".repeat(2 * MAX_THREATS);
        let found = threats(&format!("X-Virus-ID: {names}Eicar\r\n{LOCKED}"));
        assert_eq!(shown(found), "Eicar");
        // A finding in more files than are kept is no unknown threat either.
        let many = violations("Locked", 2 * MAX_THREATS);
        assert!(!is_infected(&format!("{many}{LOCKED}")));
        assert!(evidence(&format!("{many}{LOCKED}")).is_some());
    }

    #[test]
    fn unnamed_kind_is_not_applied_to_one_of_two_threats() {
        let fields = "X-Infection-Found: Type=0\r\nX-Virus-Name: A, B\r\nX-Infection-Found: Threat=A\r\nX-Infection-Found: Threat=B\r\n";
        let found = threats(fields);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|threat| threat.kind().is_none()));
    }

    #[test]
    fn word_beside_an_unscannable_file_is_a_threat() {
        let fields = format!("{LOCKED}{}X-Virus-ID: Eicar\r\n", violations("Locked", 2));
        assert_eq!(shown(threats(&fields)), "Eicar");
    }

    #[test]
    fn threat_in_several_fields_is_one_threat() {
        let found = threats(
            "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\nX-Virus-ID: Eicar\r\n\
             X-Violations-Found: 1\r\n\tx.zip\r\n\tEicar\r\n\t7\r\n\t2\r\n",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].file(), found[0].problem_id()),
            (Some("x.zip"), Some("7"))
        );
        let two = threats("X-Virus-ID: A\r\nX-Virus-ID: B\r\n");
        assert_eq!(shown(two), "A, B");
        let unnamed = threats("X-Infection-Found: Type=0\r\nX-Virus-Name: \"A\"\r\n");
        assert_eq!(shown(unnamed), "A");
        assert_eq!(shown(vec![Threat::unnamed()]), "unnamed threat");
    }

    #[test]
    fn names_that_were_cut_are_not_merged() {
        let long = "x".repeat(MAX_DISPLAY);
        let locked = format!("X-Infection-Found: Type=2; Threat={long}1\r\n");
        assert!(!is_infected(&locked));
        for found in [
            format!("X-Virus-ID: {long}2\r\n"),
            format!("X-FSecure-Infection-Name: {long}2\r\n"),
        ] {
            assert!(is_infected(&format!("{locked}{found}")), "{found}");
            assert!(is_infected(&format!("{found}{locked}")), "{found}");
        }
    }

    #[test]
    fn names_in_one_field_are_several_threats() {
        let found = threats(
            "X-Infection-Found: Type=0; Resolution=2; Threat=A,B ,;\r\nX-Virus-ID: B, A\r\n",
        );
        let names: Vec<_> = found.iter().map(Threat::name).collect();
        assert_eq!(names, [Some("A"), Some("B")]);
        assert!(found.iter().all(|t| t.kind() == Some(ThreatKind::Virus)));
        // A finding that only hindered the scan must not hide the threat after it.
        let hidden = threats("X-Virus-ID: Heuristics.Limits.Exceeded.MaxFileSize, Eicar\r\n");
        assert_eq!(shown(hidden), "Eicar");
        let quoted = threats("X-FSecure-Infection-Name: \"A\", \"B\"\r\n");
        assert_eq!(shown(quoted), "A, B");
    }

    #[test]
    fn word_beside_a_name_describes_it_unless_there_are_two() {
        let eset = "X-Virus-ID: Trojaner\r\nX-Infection-Found: Type=0; Threat=VBA/Agent;\r\n";
        let found = threats(eset);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name(), Some("VBA/Agent"));
        assert_eq!(found[0].description(), Some("Trojaner"));
        assert_eq!(threats(&eset.repeat(2)), found, "repeated");
        let two = threats(&format!("{eset}X-Virus-Name: Other\r\n"));
        assert_eq!(shown(two), "VBA/Agent, Trojaner, Other");
        // A word beside a file that was not scanned is a threat.
        let found = threats("X-Infection-Found: Type=2; Threat=Locked;\r\nX-Virus-ID: Eicar\r\n");
        assert_eq!(shown(found), "Eicar");
    }

    #[test]
    fn threat_in_two_files_is_listed_twice_and_named_once() {
        let found = threats(
            "X-Virus-ID: A\r\nX-Infection-Found: Type=0; Resolution=1; Threat=A;\r\n\
             X-Violations-Found: 1\r\n\tone\r\n\tA\r\n\t-\r\n\t0\r\n\ttwo\r\n\tA\r\n\t-\r\n\t0\r\n",
        );
        let parts = |t: &Threat| (t.file.clone(), t.kind, t.problem.clone());
        let virus = Some(ThreatKind::Virus);
        assert_eq!(found.len(), 2);
        assert_eq!(parts(&found[0]), (Some("one".to_owned()), virus, None));
        assert_eq!(parts(&found[1]), (Some("two".to_owned()), virus, None));
        assert_eq!(shown(found), "A");
    }

    #[test]
    fn fields_of_one_vendor_make_one_threat() {
        let found = threats(
            "X-FSecure-Scan-Result: infected\r\nX-FSecure-Infection-Name: \"W97M/A\"\r\n\
             X-FSecure-Infected-Filename: \"virus.doc\"\r\n",
        );
        let expected = Threat {
            name: Some("W97M/A".into()),
            file: Some("virus.doc".into()),
            ..Threat::unnamed()
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn unnamed_threat_is_not_merged_with_a_hindrance() {
        for sign in ["X-FSecure-Scan-Result: infected\r\n", "X-Virus-ID:\r\n"] {
            let locked = "X-Infection-Found: Type=2; Resolution=2;\r\n";
            for fields in [format!("{locked}{sign}"), format!("{sign}{locked}")] {
                assert_eq!(threats(&fields).len(), 1, "{fields}");
            }
        }
    }
}

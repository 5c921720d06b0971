//! The grammar of `X-Violations-Found` (draft-stecher-icap-subid-00).

use super::threat::Threat;
use super::value::{DESCRIPTION, display_text, resolution, split_part};
use crate::proto::header::Field;
use crate::proto::number::decimal;

/// The threats of a count and four lines for each violation: file, threat, problem, resolution.
///
/// If there are exactly four lines for each, the place alone says what a line is, because a file may have any
/// name. A count that does not fit the lines is evidence all the same: Clearswift writes 1 and lists two. Only a
/// count of 0 without lines is none.
pub(super) fn violations(field: &Field<'_>) -> Vec<Threat> {
    let mut lines = field.lines();
    let count = decimal(lines.next().map(<[u8]>::trim_ascii).unwrap_or_default());
    let lines: Vec<&[u8]> = lines.collect();
    let is_positional = count.and_then(|count| count.checked_mul(4)) == Some(lines.len() as u64);
    let mut found: Vec<Threat> = Vec::new();
    let mut place = 0;
    for line in lines {
        let (key, value) = split_part(line);
        let is_description = !is_positional && key.eq_ignore_ascii_case(DESCRIPTION);
        match (found.last_mut(), place % 4) {
            (Some(last), 0) if is_description => {
                last.description = display_text(value);
                continue;
            }
            (Some(last), 1..) => set_line(last, place % 4, line),
            _ => found.push(Threat::in_file(line)),
        }
        place += 1;
    }
    if found.is_empty() && count != Some(0) {
        found.push(Threat::unnamed());
    }
    found
}

/// Sets a line of a violation after line 0, its file.
fn set_line(violation: &mut Threat, place: usize, line: &[u8]) {
    match place {
        1 => violation.name = display_text(line),
        2 => violation.problem = display_text(line),
        _ => violation.resolution = resolution(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{evidence, is_infected, threats};
    use crate::evidence::threat::Resolution;

    #[test]
    fn violation_is_read_by_four_lines() {
        let found = threats(
            "X-Violations-Found: 2\r\n\tC:\\x: y.doc\r\n\tRel.Test\r\n\t41129\r\n\t2\r\n\t-\r\n\tOther\r\n\t0\r\n\t0\r\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].file(), Some("C:\\x: y.doc"));
        assert_eq!(found[0].name(), Some("Rel.Test"));
        assert_eq!(found[0].problem_id(), Some("41129"));
        assert_eq!(found[0].resolution(), Some(Resolution::Blocked));
        assert_eq!((found[1].name(), found[1].file()), (Some("Other"), None));
        assert_eq!(threats("X-Violations-Found: 1\r\n"), [Threat::unnamed()]);
        assert_eq!(threats("X-Violations-Found: lots\r\n"), [Threat::unnamed()]);
        assert_eq!(evidence("X-Violations-Found: 0\r\n"), None);
    }

    #[test]
    fn description_of_a_violation_does_not_shift_the_next() {
        let found = threats(
            "X-Violations-Found: 2\r\n\ta\r\n\tA\r\n\t1\r\n\t2\r\n\tThreatDescription = A|NonViralThreat=Adware\r\n\
             \tb\r\n\tB\r\n\t2\r\n\t0\r\n\tthreatdescription=\r\n",
        );
        let parts = |t: &Threat| (t.file.clone(), t.name.clone(), t.description.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found.len(), 2);
        assert_eq!(
            parts(&found[0]),
            (some("a"), some("A"), some("A|NonViralThreat=Adware"))
        );
        assert_eq!(parts(&found[1]), (some("b"), some("B"), None));
    }

    #[test]
    fn file_may_have_the_name_of_a_description() {
        let found = threats(
            "X-Violations-Found: 2\r\n\ta\r\n\tA\r\n\t1\r\n\t2\r\n\
             \tThreatDescription=x.exe\r\n\tB\r\n\t2\r\n\t0\r\n",
        );
        let parts = |t: &Threat| (t.file.clone(), t.name.clone(), t.problem.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found.len(), 2);
        assert_eq!(parts(&found[0]), (some("a"), some("A"), some("1")));
        assert_eq!(
            parts(&found[1]),
            (some("ThreatDescription=x.exe"), some("B"), some("2"))
        );
        // Also as the first file, and with a count beyond any memory.
        let found =
            threats("X-Violations-Found: 1\r\n\tThreatDescription=\r\n\tB\r\n\t2\r\n\t0\r\n");
        assert_eq!((found.len(), found[0].name()), (1, Some("B")));
        assert!(is_infected(
            "X-Violations-Found: 18446744073709551615\r\n\ta\r\n\tA\r\n"
        ));
    }
}

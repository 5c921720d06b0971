//! The verdict cache with c-icap: its state tag is the same in `OPTIONS`, in a 204 and in the report of a threat.

use icap_client::{Cache, Content, Scanner};

use super::{ALL_OF_IT, URI, eicar, variable};

pub(crate) fn verdicts_are_given_again() {
    for service in [ALL_OF_IT, "avscan"] {
        let uri = format!("{}/{service}", variable(URI));
        let builder = Scanner::builder(uri).cache(Cache::new());
        let scanner = builder.build().unwrap();
        let virus = eicar();
        for (content, is_infected) in [(&b"hello"[..], false), (&virus, true)] {
            for is_second in [false, true] {
                let report = scanner.scan(Content::bytes(content).id(content)).unwrap();
                assert_eq!(report.verdict().is_infected(), is_infected, "{service}");
                assert_eq!(report.verdict().is_clean(), !is_infected, "{service}");
                assert_eq!(report.is_cached(), is_second, "{service}");
            }
        }
        let stats = scanner.stats();
        assert_eq!((stats.cache_hits, stats.options_sent), (2, 1), "{service}");
    }
}

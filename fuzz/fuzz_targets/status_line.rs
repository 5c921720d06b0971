#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| icap_client::fuzz_checks::status_line(data, other_parser::status));

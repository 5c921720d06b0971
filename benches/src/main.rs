//! The benchmarks. `src/lib.rs` says how they are made.

use std::process::ExitCode;

fn main() -> ExitCode {
    icap_client_benches::main()
}

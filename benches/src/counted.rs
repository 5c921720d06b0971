//! The benchmarks with an allocator that counts. It is a program of its own, because counting takes time.

use std::process::ExitCode;

use icap_client_benches::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    icap_client_benches::main()
}

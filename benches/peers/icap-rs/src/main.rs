//! icap-rs as a contender: `PROGRAM PORT FOLDER file SIZE 1`. `src/contender.rs` of the benchmarks says how it talks
//! with the runner.
//!
//! It is used as icap-rs's own example of streaming a file does, with one client for all scans.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use http::{Response as HttpResponse, StatusCode};
use icap_rs::{Client, Request};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, folder, _, size, _] = &arguments[..] else {
        return Err("PORT FOLDER file SIZE 1".into());
    };
    let client = Client::builder()
        .with_uri(&format!("icap://127.0.0.1:{port}"))?
        .keep_alive(true)
        .build();
    let head = HttpResponse::builder()
        .header("Content-Length", &**size)
        .body(())?;
    let request = Request::respmod("/204")
        .allow_204()
        .with_http_response_head(head)?;
    let path = format!("{folder}/{size}.bin");
    let runtime = tokio::runtime::Runtime::new()?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let scans: usize = line?.trim().parse()?;
        let (started, cpu) = (Instant::now(), cpu_time());
        runtime.block_on(async {
            for _ in 0..scans {
                let response = client.send_streaming(&request, &path).await?;
                assert_eq!(response.status_code(), StatusCode::NO_CONTENT);
            }
            Ok::<(), icap_rs::Error>(())
        })?;
        let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
        say(&format!("{} {}", wall.as_nanos(), cpu.as_nanos()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

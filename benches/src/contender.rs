//! A contender in a process of its own: `worker NAME PORT FOLDER KIND SIZE THREADS`.
//!
//! It prints `ready` when it has its content and, for each line of input with a number of scans, one line with the
//! wall time and the CPU time of so many scans, in nanoseconds. The contenders in `peers/` speak the same way.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use icap_client::Scanner;

use crate::Result;
use crate::floor::{Floor, Obligations, least_head};
use crate::measure::{Cost, Stopwatch};
use crate::ours;
use crate::work::{self, Kind, Work};

pub(crate) const OURS: &str = "icap-client";
pub(crate) const FLOOR: &str = "floor";
/// Copies content in memory before it sends it, so that framing and content are one write.
pub(crate) const COPYING: &str = "floor that copies";
pub(crate) const OBLIGATIONS: &str = "floor with obligations";

pub(crate) fn work(arguments: &[String]) -> Result<()> {
    let [name, port, folder, kind, size, threads] = arguments else {
        return Err("worker NAME PORT FOLDER KIND SIZE THREADS".into());
    };
    let work = Work::parse(kind, size, threads)?;
    let folder = PathBuf::from(folder);
    let material = Material::new(port.parse()?, &folder, work);
    let mut contender = Contender::new(name, &material)?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let scans: usize = line?.trim().parse()?;
        let cost = contender.scan(&material, scans)?;
        say(&format!("{} {}", cost.wall.as_nanos(), cost.cpu.as_nanos()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// What is scanned, and where.
struct Material {
    address: SocketAddr,
    uri: String,
    work: Work,
    path: PathBuf,
    /// Empty for a file.
    content: Vec<u8>,
}

impl Material {
    fn new(port: u16, folder: &Path, work: Work) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let content = match work.kind {
            Kind::File => Vec::new(),
            Kind::Bytes | Kind::Reader => work::content(work.size),
        };
        Self {
            address,
            uri: format!("icap://{address}/204"),
            work,
            path: work::file(folder, work.size),
            content,
        }
    }
}

enum Contender {
    Ours(Scanner),
    /// One for each thread.
    Floors {
        floors: Vec<Floor>,
        copies: bool,
    },
}

impl Contender {
    fn new(name: &str, it: &Material) -> Result<Self> {
        let (head, obligations) = match name {
            OURS => return Ok(Self::Ours(ours::scanner(&it.uri)?)),
            FLOOR | COPYING => (least_head(it.address, "204"), Obligations::None),
            OBLIGATIONS => {
                let head = ours::recorded_head(&it.uri, it.work.kind, &it.path, &it.content)?;
                (head, Obligations::AsOurs)
            }
            _ => return Err(format!("no contender: {name}").into()),
        };
        let connect = |_| Floor::connect(it.address, head.clone(), obligations);
        let floors: Result<Vec<Floor>> = (0..it.work.threads).map(connect).collect();
        Ok(Self::Floors {
            floors: floors?,
            copies: name == COPYING,
        })
    }

    /// `scans` in all, divided among the threads.
    fn scan(&mut self, it: &Material, scans: usize) -> Result<Cost> {
        let each = scans / it.work.threads;
        let watch = Stopwatch::start();
        let results: Vec<_> = match self {
            Self::Ours(scanner) => in_threads(vec![&*scanner; it.work.threads], |scanner| {
                repeat(each, || {
                    ours::scan(scanner, it.work.kind, &it.path, &it.content)
                })
            }),
            Self::Floors { floors, copies } => {
                let copies = *copies;
                in_threads(floors.iter_mut().collect(), |floor| {
                    repeat(each, || scan_with_floor(floor, it, copies))
                })
            }
        };
        let cost = watch.stop();
        for result in results {
            result?;
        }
        Ok(cost)
    }
}

/// A single one runs in this thread, so that a small measurement has no thread's start in it.
fn in_threads<T: Send>(
    each: Vec<T>,
    run: impl Fn(T) -> std::result::Result<(), String> + Sync,
) -> Vec<std::result::Result<(), String>> {
    if each.len() == 1 {
        return each.into_iter().map(run).collect();
    }
    thread::scope(|scope| {
        let start = |it| scope.spawn(|| run(it));
        let started: Vec<_> = each.into_iter().map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or(Err("a thread panicked".to_owned()))
        };
        started.into_iter().map(join).collect()
    })
}

fn repeat(times: usize, mut run: impl FnMut() -> Result<()>) -> std::result::Result<(), String> {
    for _ in 0..times {
        run().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn scan_with_floor(floor: &mut Floor, it: &Material, copies: bool) -> Result<()> {
    match it.work.kind {
        Kind::Bytes if !copies => floor.scan_bytes(&it.content)?,
        Kind::File => floor.scan_file(&it.path, it.work.size)?,
        Kind::Bytes | Kind::Reader => floor.scan_reader(&mut &*it.content, it.work.size, 0)?,
    }
    Ok(())
}

//! The processes that the runner starts: the sink and the contenders.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Result;
use crate::bench::Setting;
use crate::cpus::Cpus;
use crate::measure::Cost;
use crate::work::Work;

/// The most bytes of a scan that shares a processor with the sink. Larger ones keep two busy.
const SMALL: usize = 64 << 10;

/// A process that takes lines and prints lines. It ends when it is dropped.
pub(crate) struct Talking {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Talking {
    pub(crate) fn start(command: &mut Command, cpus: Cpus) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = cpus.start(|| command.spawn());
        let mut child = spawned.map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no pipe")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or("no pipe")?;
        Ok(writeln!(input, "{line}")?)
    }

    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.trim() {
            "" => Err("a contender has failed".into()),
            line => Ok(line.to_owned()),
        }
    }

    /// The most memory that the process has had, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmHWM")?.parse()?)
    }

    /// Ends the process by the end of its input, and waits for it.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        status
            .success()
            .then_some(())
            .ok_or("a contender has failed".into())
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// This program with other arguments.
pub(crate) fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// A server, with its port.
pub(crate) struct Sink {
    _process: Talking,
    pub(crate) port: u16,
}

impl Sink {
    /// With a certificate and a key, it speaks TLS.
    pub(crate) fn start(tls: &[PathBuf], cpus: Cpus) -> Result<Self> {
        let mut process = Talking::start(this_program()?.arg("sink").args(tls), cpus)?;
        let port = process.hear()?.parse()?;
        Ok(Self {
            _process: process,
            port,
        })
    }
}

/// A contender that waits for being told how often to scan.
pub(crate) struct Worker {
    process: Talking,
    /// KiB when it was ready.
    memory: u64,
}

impl Worker {
    /// `command` up to the arguments that all contenders have.
    pub(crate) fn start(mut command: Command, setting: &Setting, work: Work) -> Result<Self> {
        let (sink, cpus) = match work.threads {
            1 if work.size <= SMALL => (&setting.sink_on_first, Cpus::First),
            1 => (&setting.sink_on_second, Cpus::First),
            _ => (&setting.sink, Cpus::All),
        };
        command.arg(sink.port.to_string()).arg(&setting.folder);
        let mut process = Talking::start(command.args(work.arguments()), cpus)?;
        process.hear()?;
        let memory = process.peak_memory()?;
        Ok(Self { process, memory })
    }

    pub(crate) fn scan(&mut self, scans: usize) -> Result<Cost> {
        self.process.tell(&scans.to_string())?;
        let line = self.process.hear()?;
        let (wall, cpu) = line.split_once(' ').ok_or("no two numbers")?;
        Ok(Cost {
            wall: Duration::from_nanos(wall.parse()?),
            cpu: Duration::from_nanos(cpu.parse()?),
        })
    }

    /// KiB that were needed above those that it had when it was ready.
    pub(crate) fn memory(&self) -> Result<u64> {
        Ok(self.process.peak_memory()?.saturating_sub(self.memory))
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.process.finish()
    }
}

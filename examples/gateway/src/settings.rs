//! The settings of the operator. They are on the command line, so that no browser can change them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: gateway --icap URI --data FOLDER [SETTING...]

  --icap URI               the ICAP service, for example icap://127.0.0.1:1344/avscan;
                           further ones are asked if it fails
  --data FOLDER            the drive, and the copies that are being checked; a folder of its own
  --listen ADDRESS:PORT    the address of the page [default: 127.0.0.1:8080; port 0: any]
  --operator ADDRESS:PORT  the address of the status page and of /metrics; people do not get
                           to see it, because it names servers [default: 127.0.0.1:8081]
  --host NAME              a name under which browsers reach the gateway, besides localhost and
                           addresses; requests for other names are refused
  --canary-seconds NUMBER  how often the service must prove that it finds malware, for example
                           300 [default: never, because servers log each find]
  --max-scan BYTES         larger files are not scanned [default: 104857600]
  --max-upload BYTES       larger files are not accepted [default: 209715200]
  --max-files NUMBER       files on the drive [default: 1000]
  --ticket-seconds NUMBER  how long a person may take for a decision [default: 300]
  --threads NUMBER         connections at the same time [default: 64]
  --no-scan                switch the virus scanner off: files are delivered unchecked";

#[derive(Debug)]
pub struct Settings {
    pub icap: Vec<String>,
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub operator: SocketAddr,
    pub hosts: Vec<String>,
    pub canary: Option<Duration>,
    pub max_scan: u64,
    pub max_upload: u64,
    pub max_files: usize,
    pub ticket_time: Duration,
    pub threads: usize,
    pub is_scanning: bool,
}

impl Settings {
    pub fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let mut settings = Self {
            icap: Vec::new(),
            data: PathBuf::new(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            operator: (Ipv4Addr::LOCALHOST, 8081).into(),
            hosts: Vec::new(),
            canary: None,
            max_scan: icap_client::limits::DEFAULT_MAX_SIZE,
            max_upload: 2 * icap_client::limits::DEFAULT_MAX_SIZE,
            max_files: 1000,
            ticket_time: Duration::from_secs(300),
            threads: 64,
            is_scanning: true,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            if name == "--no-scan" {
                settings.is_scanning = false;
                continue;
            }
            let value = arguments.next().unwrap_or_default();
            settings
                .set(&name, &value)
                .ok_or(format!("not a valid setting: {name} {value}; see --help"))?;
        }
        if settings.icap.is_empty() || settings.data.as_os_str().is_empty() {
            return Err("--icap and --data are needed; see --help".to_owned());
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--icap" => self.icap.push(value.to_owned()),
            "--data" => self.data = value.into(),
            "--listen" => self.listen = value.parse().ok()?,
            "--operator" => self.operator = value.parse().ok()?,
            "--host" => self.hosts.push(value.to_owned()),
            "--max-scan" => self.max_scan = value.parse().ok()?,
            "--max-upload" => self.max_upload = value.parse().ok()?,
            "--max-files" => self.max_files = value.parse().ok()?,
            "--canary-seconds" => self.canary = Some(seconds(value)?),
            "--ticket-seconds" => self.ticket_time = seconds(value)?,
            "--threads" => self.threads = value.parse().ok().filter(|&threads| threads > 0)?,
            _ => return None,
        }
        Some(())
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: u32 = text.parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

//! Settings from the environment and from a configuration file.
//!
//! Both become defaults of the options of the same name. So the command line takes precedence, then the environment,
//! then the file, and each value is checked as on the command line.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use toml::{Table, Value};

/// The option with the name of the file.
pub(crate) const OPTION: &str = "config";

/// The key of the password. It is no option, because every user of the machine can read command lines.
const PASSWORD: &str = "password";

/// A larger file is no configuration file.
const MAX_LEN: u64 = 1 << 20;

/// The options that can be set elsewhere, by their long names (with `_` also their ids). An option that can improve a verdict, as
/// `--no-options`, is none of them.
const KEYS: &[&str] = &[
    "authenticated-user",
    "ca-file",
    "canary",
    "client-cert",
    "client-ip",
    "client-key",
    "color",
    "connect-timeout",
    "connect-to",
    "deadline",
    "endpoint",
    "groups",
    "header",
    "jobs",
    "max-size",
    "method",
    "preview",
    "read-timeout",
    "response-timeout",
    "retry",
    "service",
    "user",
    "write-timeout",
];

/// A key is a typing error of another one with at most so many wrong letters.
const MAX_DISTANCE: usize = 2;

/// The keys with a file name. It is relative to the folder of the configuration file.
const FILES: &[&str] = &["ca-file", "client-cert", "client-key"];

/// What a configuration file sets.
#[derive(Default)]
pub(crate) struct Config {
    path: PathBuf,
    values: Vec<(&'static str, Vec<String>)>,
    pub(crate) password: Option<String>,
}

impl Config {
    /// Reads the file that `--config` names, or else the user's own if it exists.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = named {
            return Self::read(path).map_err(|error| in_file(path, &error));
        }
        match usual_place() {
            Some(path) if path.exists() => {
                Self::read(&path).map_err(|error| in_file(&path, &error))
            }
            _ => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, String> {
        let (text, metadata) = read(path).map_err(|error| error.to_string())?;
        let table: Table = text.parse().map_err(|error| not_toml(&text, &error))?;
        if table.contains_key(PASSWORD) && is_readable_by_others(&metadata) {
            return Err(
                "it has a password, and other users can read it: set its mode to 600 (chmod 600)"
                    .to_owned(),
            );
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut config = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for (key, value) in &table {
            config.set(key, value, folder)?;
        }
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &Value, folder: &Path) -> Result<(), String> {
        if key == PASSWORD {
            self.password = Some(text(key, value)?);
            return Ok(());
        }
        let Some(key) = KEYS.iter().find(|known| **known == key) else {
            return Err(unknown(key));
        };
        let mut values = match value {
            Value::Array(values) => values
                .iter()
                .map(|it| text(key, it))
                .collect::<Result<_, _>>()?,
            value => vec![text(key, value)?],
        };
        if FILES.contains(key) {
            for value in &mut values {
                *value = folder.join(&value).to_string_lossy().into_owned();
            }
        }
        self.values.push((key, values));
        Ok(())
    }

    /// What to say beside an error of the command line, which may be one of the file.
    pub(crate) fn note(&self) -> Option<String> {
        let keys: Vec<_> = self.values.iter().map(|(key, _)| *key).collect();
        let (path, keys) = (self.path.display(), keys.join(", "));
        (!keys.is_empty()).then(|| format!("note: the configuration file {path} sets {keys}"))
    }

    /// Adds the environment and the file to the options of each command.
    pub(crate) fn apply(&self, command: Command) -> Command {
        let names: Vec<_> = command
            .get_subcommands()
            .map(|it| it.get_name().to_owned())
            .collect();
        let command = self.apply_to_options(command);
        names.into_iter().fold(command, |command, name| {
            command.mut_subcommand(name, |subcommand| self.apply_to_options(subcommand))
        })
    }

    /// Compares the ids, which are the names of fields: an option of another kind has another id.
    fn apply_to_options(&self, command: Command) -> Command {
        command.mut_args(|arg| {
            let name = arg.get_id().as_str().replace('_', "-");
            match KEYS.iter().find(|key| **key == name) {
                Some(key) => self.apply_to_option(key, arg),
                None => arg,
            }
        })
    }

    fn apply_to_option(&self, key: &'static str, arg: Arg) -> Arg {
        let arg = arg.env(variable(key)).hide_env(true);
        match self.values.iter().find(|(name, _)| *name == key) {
            Some((_, values)) => arg.default_values(values.clone()),
            None => arg,
        }
    }
}

/// The help about the keys.
pub(crate) fn keys_help() -> String {
    let mut lines =
        vec!["Keys of the configuration file, as the options of these names:".to_owned()];
    let mut line = String::new();
    for key in KEYS.iter().chain([&PASSWORD]) {
        if line.len() + key.len() > 66 {
            lines.push(std::mem::take(&mut line) + ",");
        }
        let separator = if line.is_empty() { " " } else { "," };
        line = format!("{line}{separator} {key}");
    }
    lines.push(line);
    lines.push(
        "  A list sets an option that can be repeated: endpoint = [\"icap://av2/x\"]".to_owned(),
    );
    lines.join("\n")
}

fn unknown(key: &str) -> String {
    let known = KEYS.iter().chain([&PASSWORD]);
    let nearest = known.min_by_key(|known| distance(known, &key.replace('_', "-")));
    match nearest.filter(|known| distance(known, &key.replace('_', "-")) <= MAX_DISTANCE) {
        Some(nearest) => format!("unknown key {key:?}; did you mean {nearest:?}?"),
        None => format!(
            "unknown key {key:?}; the keys are {PASSWORD}, {}",
            KEYS.join(", ")
        ),
    }
}

/// How many letters must be added, removed or replaced to get from one text to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

/// The variable that sets an option, for example `ICAP_READ_TIMEOUT`.
fn variable(key: &str) -> String {
    match key {
        // As the arguments name it. The name of the option is valid too.
        "service" if std::env::var_os("ICAP_URI").is_some() => "ICAP_URI".to_owned(),
        key => format!("ICAP_{}", key.to_uppercase().replace('-', "_")),
    }
}

fn in_file(path: &Path, error: &str) -> String {
    format!("the configuration file {}: {error}", path.display())
}

/// A relative path would be in the working directory, where a stranger may have put a file.
fn usual_place() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let folder = folder("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    folder
        .is_absolute()
        .then(|| folder.join("icap/config.toml"))
}

/// Says where the error is. The line itself is not shown: it may have the password.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|it| *it == b'\n').count();
    let why = error.message().replace('\n', ", ");
    let key = text.lines().nth(line - 1).and_then(|it| it.split_once('='));
    let key = key.map_or("", |(key, _)| key.trim());
    match KEYS.iter().find(|known| **known == key) {
        // The parser takes 25MiB and icap:// for broken numbers.
        Some(key) if !why.contains("duplicate") => {
            let value = match *key {
                "max-size" => "25MiB",
                "service" | "endpoint" => "icap://HOST/SERVICE",
                _ => "VALUE",
            };
            format!("line {line} is no TOML: a value needs quotes: {key} = \"{value}\"")
        }
        _ => format!(
            "line {line} is no TOML: {why} (text needs quotes: service = \"icap://HOST/SERVICE\")"
        ),
    }
}

fn read(path: &Path) -> io::Result<(String, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    file.take(MAX_LEN).read_to_string(&mut text)?;
    Ok((text, metadata))
}

#[cfg(unix)]
fn is_readable_by_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &Metadata) -> bool {
    false
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        _ => Err(format!(
            "{key} is neither a text, a number nor a list of them"
        )),
    }
}

//! German. Copy this file to begin with another language.

use super::{Language, Reason};

/// German, with the formal "Sie".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct German;

impl Language for German {
    fn template(&self, reason: Reason) -> Option<&str> {
        let sentence = SENTENCES.iter().find(|(of, _)| *of == reason);
        sentence.map(|(_, text)| *text)
    }

    fn name(&self, name: &str) -> String {
        format!(" „{}“", name.replace(['„', '“', '”', '"'], "'"))
    }
}

const SENTENCES: [(Reason, &str); Reason::ALL.len()] = [
    (
        Reason::Infected,
        "Die Datei{name} enthält Schadsoftware{threat}.",
    ),
    (
        Reason::Blocked,
        "Der Virenscanner hat die Datei{name} abgelehnt.",
    ),
    (
        Reason::Modified,
        "Der Virenscanner hat den Inhalt der Datei{name} ersetzt. Das Original kann schädlich sein.",
    ),
    (
        Reason::ModifiedNoContent,
        "Der Virenscanner hat den Inhalt der Datei{name} entfernt. Das Original kann schädlich sein.",
    ),
    (
        Reason::ModifiedPartly,
        "Der Virenscanner hat einen Teil der Datei{name} geändert. Das Original kann schädlich sein.",
    ),
    (
        Reason::TooLarge,
        "Die Datei{name} ist größer als {limit} und wurde nicht auf Schadsoftware geprüft.",
    ),
    (
        Reason::ServiceLimit,
        "Die Datei{name} überschreitet eine Grenze des Virenscanners und wurde nicht vollständig geprüft.",
    ),
    (
        Reason::Unscannable,
        "Der Virenscanner konnte die Datei{name} nicht untersuchen. Sie ist möglicherweise verschlüsselt oder beschädigt.",
    ),
    (
        Reason::Echoed,
        "Der Virenscanner hat die Datei{name} übergangen und nicht geprüft.",
    ),
    (
        Reason::ServiceError,
        "Der Virenscanner hat einen Fehler und hat die Datei{name} nicht geprüft. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::EarlyResponse,
        "Der Virenscanner hat geantwortet, bevor er die Datei{name} vollständig erhalten hatte. Sie ist also nicht geprüft.",
    ),
    (
        Reason::NoEngine,
        "Der Virenscanner arbeitet nicht. Die Datei{name} wurde nicht geprüft.",
    ),
    (
        Reason::Truncated,
        "Der Virenscanner hat nur einen Teil der Datei{name} zurückgegeben. Manche Virenscanner tun das bei infizierten Dateien.",
    ),
    (
        Reason::Pending,
        "Der Virenscanner hat die Prüfung der Datei{name} noch nicht abgeschlossen. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::PreviewOnly,
        "Der Virenscanner hat nur den Anfang der Datei{name} geprüft.",
    ),
    (
        Reason::ConnectError,
        "Der Virenscanner ist nicht erreichbar. Die Datei{name} wurde nicht geprüft. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::TimeoutError,
        "Die Prüfung der Datei{name} auf Schadsoftware hat zu lange gedauert und wurde abgebrochen. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::DisconnectedError,
        "Die Verbindung zum Virenscanner ist abgebrochen. Die Datei{name} wurde nicht geprüft. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::StatusError,
        "Der Virenscanner hat die Anfrage nicht angenommen. Die Datei{name} wurde nicht geprüft.",
    ),
    (
        Reason::ProtocolError,
        "Der Virenscanner hat ungültig geantwortet. Die Datei{name} wurde nicht geprüft.",
    ),
    (
        Reason::ContentError,
        "Die Datei{name} konnte nicht vollständig gelesen werden und wurde nicht geprüft.",
    ),
    (
        Reason::OutputError,
        "Die Datei{name} konnte während der Prüfung auf Schadsoftware nicht gespeichert werden. Versuchen Sie es später noch einmal.",
    ),
    (
        Reason::InputError,
        "Die Datei{name} konnte nicht an den Virenscanner gesendet werden und wurde nicht geprüft.",
    ),
    (
        Reason::SuspendedError,
        "Der Virenscanner ist wiederholt ausgefallen und pausiert. Die Datei{name} wurde nicht geprüft. Versuchen Sie es gleich noch einmal.",
    ),
    (
        Reason::CancelledError,
        "Die Prüfung der Datei{name} auf Schadsoftware wurde abgebrochen. Fordern Sie die Datei noch einmal an, damit sie geprüft wird.",
    ),
    (
        Reason::IncompleteCopy,
        "Von der Datei{name} konnte nur ein Teil abgerufen werden. Fordern Sie die Datei noch einmal an.",
    ),
];

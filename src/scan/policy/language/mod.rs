//! The sentences of notices, in as many languages as there are implementors of [`Language`].

mod english;
mod german;

pub use english::English;
pub use german::German;

use super::reason::Reason;

/// The sentences of [`Notice`](super::Notice)s in one language.
///
/// A template is a sentence with placeholders:
///
/// | placeholder | becomes |
/// | --- | --- |
/// | `{name}` | what [`name`](Language::name) makes of the file's name; nothing if the name is not known |
/// | `{threat}` | what [`threat`](Language::threat) makes of the threats' names; nothing if none is known |
/// | `{limit}` | the size limit, for example `100 MiB`; only for [`Reason::TooLarge`] |
///
/// Anything else in braces stays as it is, and braces in a file's name are no placeholders.
///
/// State what happened. You can add what the person can do next. Leave out whether the content is delivered: the
/// same notice can belong to a question or to a refusal. To begin, copy the table of [`German`] from the
/// sources of this crate. In your tests, require a template for each of [`Reason::ALL`].
///
/// ```
/// # use icap_client::testing::{self, Server};
/// use icap_client::policy::{Language, Notice, Reason};
/// use icap_client::{Content, Scanner};
///
/// struct French;
///
/// impl Language for French {
///     fn template(&self, reason: Reason) -> Option<&str> {
///         Some(match reason {
///             Reason::Infected => "Le fichier{name} contient un logiciel malveillant{threat}.",
///             // … the other reasons; those left out are shown in English.
///             _ => return None,
///         })
///     }
///
///     fn name(&self, name: &str) -> String {
///         format!(" « {} »", name.replace(['«', '»'], "'"))
///     }
/// }
///
/// # let server = Server::start()?;
/// # let eicar = testing::eicar();
/// let result = Scanner::new(&server.uri())?.scan(Content::bytes(&eicar).name("facture.pdf"));
/// let notice = Notice::of(&result).ok_or("it is clean")?;
/// assert_eq!(
///     notice.text(&French),
///     "Le fichier « facture.pdf » contient un logiciel malveillant (Eicar-Test-Signature)."
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Language {
    /// The template for a reason. `None`: the notice is shown in English.
    fn template(&self, reason: Reason) -> Option<&str>;

    /// How the file's name stands in a sentence. Default: after a space and in straight quotes.
    ///
    /// If the name itself has the quotes that you put around it, replace them there. Otherwise a name such as
    /// `a" is clean. "b` could form a sentence of its own.
    fn name(&self, name: &str) -> String {
        format!(" \"{}\"", name.replace('"', "'"))
    }

    /// How the names of threats stand in a sentence. Default: after a space and in parentheses.
    fn threat(&self, threat: &str) -> String {
        format!(" ({threat})")
    }
}

/// Replaces each placeholder by its value. A placeholder that `value` does not know stays as it is. Values are
/// not searched for placeholders.
pub(super) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        rest = after;
        let value = after
            .split_once('}')
            .and_then(|(key, after)| Some((value(key)?, after)));
        if let Some((value, after)) = value {
            text.push_str(&value);
            rest = after;
        } else {
            text.push('{');
        }
    }
    text + rest
}

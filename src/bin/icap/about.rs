//! What the service is told about the files.

use std::net::IpAddr;

use clap::Args;
use icap_client::Content;

/// What is known about all files, and about standard input.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "About the files")]
pub(crate) struct About {
    /// Address of the person that the files are for (X-Client-IP)
    #[arg(long, value_name = "ADDRESS")]
    client_ip: Option<IpAddr>,

    /// Person that the files are for (X-Authenticated-User)
    #[arg(long, value_name = "NAME")]
    authenticated_user: Option<String>,

    /// Groups of the person, comma-separated (X-Authenticated-Groups)
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    groups: Vec<String>,

    /// Name of standard input, also in the output, as invoice.pdf
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Type of standard input, for example application/pdf
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

impl About {
    /// The name of standard input in the output.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The option that is about standard input, if there is one.
    pub(crate) fn option_of_standard_input(&self) -> Option<&'static str> {
        if self.name.is_some() {
            return Some("--name");
        }
        self.content_type.is_some().then_some("--content-type")
    }

    /// Adds what is known about every file.
    pub(crate) fn describe<'c>(&self, mut content: Content<'c>) -> Content<'c> {
        if let Some(address) = self.client_ip {
            content = content.client_ip(address);
        }
        if let Some(user) = &self.authenticated_user {
            content = content.user(user);
        }
        content.groups(&self.groups)
    }

    /// Adds what is known about standard input only.
    pub(crate) fn describe_standard_input<'c>(&self, mut content: Content<'c>) -> Content<'c> {
        if let Some(name) = &self.name {
            content = content.name(name);
        }
        if let Some(content_type) = &self.content_type {
            content = content.content_type(content_type);
        }
        content
    }
}

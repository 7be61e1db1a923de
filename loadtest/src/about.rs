//! The description of a measured server in a report.

use serde::Serialize;

use crate::load::Load;
use crate::meter;
use crate::record::{UNKNOWN, build};

/// A server that was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct About {
    /// Its name and version, if known.
    pub(crate) software: Option<String>,
    /// The cargo profile that it was built with, if known.
    pub(crate) profile: Option<&'static str>,
    /// Whether each round starts it; otherwise it ran before.
    pub(crate) is_started: bool,
    /// Its protocol, in words.
    pub(crate) protocol: String,
    /// The environment variables it is started with, without secrets and without its address.
    pub(crate) settings: Vec<String>,
    /// The name of its process, if known.
    pub(crate) process: Option<String>,
    /// The processors that the process may run on.
    pub(crate) processors: Option<String>,
    /// The number of files that it may open.
    pub(crate) open_files: Option<u64>,
}

impl About {
    /// Reads the name and the limits of its process, once.
    pub(crate) fn meet(&mut self, process: Option<u32>) {
        let Some(process) = process.filter(|_| self.process.is_none()) else { return };
        self.process = meter::name(process);
        self.processors = meter::processors(process);
        self.open_files = meter::descriptors_max(process);
    }

    /// Takes the `Server` field of its responses, if its version is not known.
    pub(crate) fn read(&mut self, load: &Load) {
        self.software = self.software.take().or_else(|| load.server.clone());
    }

    /// The description, for a row of the report.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{}{}", self.software.as_deref().unwrap_or(UNKNOWN), build(self.profile));
        out.push_str(if self.is_started { "; started for each round" } else { "; ran before" });
        if !self.protocol.is_empty() {
            out.push_str(&format!("; {}", self.protocol));
        }
        if let Some(name) = self.process.as_deref().filter(|_| !self.is_started) {
            out.push_str(&format!("; process {name}"));
        }
        let known = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
        out.push_str(&format!("; processors {}", known(self.processors.clone())));
        out.push_str(&format!("; open files {}", known(self.open_files.map(|files| files.to_string()))));
        if !self.settings.is_empty() {
            out.push_str(&format!("; {}", self.settings.join(" ")));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_nothing_is_unknown_and_one_that_does_is_believed() {
        let mut about = About { protocol: "HTTP/1.1 in clear text".to_owned(), ..About::default() };
        let unknown = "unknown; ran before; HTTP/1.1 in clear text; processors unknown; open files unknown";
        assert_eq!(about.text(), unknown);
        about.read(&Load { server: Some("nginx/1.22.1".to_owned()), ..Load::default() });
        about.read(&Load { server: Some("another".to_owned()), ..Load::default() });
        about.meet(Some(std::process::id()));
        let text = about.text();
        assert!(text.starts_with("nginx/1.22.1; ran before;") && text.contains("; process "), "{text}");
        assert!(!text.contains(UNKNOWN), "{text}");
    }

    #[test]
    fn a_hub_that_is_started_here_has_a_profile_and_settings() {
        let about = About {
            software: Some("petasos 0.1.0".to_owned()),
            profile: Some("dist"),
            is_started: true,
            settings: ["SHARDS=1", "CPUS=0"].map(str::to_owned).to_vec(),
            ..About::default()
        };
        let text = about.text();
        assert!(text.starts_with("petasos 0.1.0 (dist build); started for each round"), "{text}");
        assert!(text.ends_with("SHARDS=1 CPUS=0"), "{text}");
    }
}

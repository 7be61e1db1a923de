//! The settings under "Metrics".

use std::net::SocketAddr;

use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group { heading: "Metrics", settings: &[&METRICS_ADDR] };

pub(crate) static METRICS_ADDR: Setting<SocketAddr> = Setting {
    name: "METRICS_ADDR",
    kind: ValueKind::Public("ADDRESS"),
    help: "Address of a separate listener for Prometheus, such as `127.0.0.1:9464`. It serves only \
           /metrics and /healthz, without TLS and without authorization: do not expose it to the public",
    default: DefaultText::Description("none: no metrics"),
    parse: |text, _| values::address(text),
    in_force: |config, _| config.settings.metrics.as_ref().map(|metrics| metrics.address.to_string()),
};

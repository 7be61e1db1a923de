//! Log lines and counts of a shard about requests and streams. Lines that come once per event are
//! sampled, or must be enabled.

use tracing::{debug, error, info};

use crate::api::refusal::Refusal;
use crate::history::HistoryError;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::hub::shard::EndReason;
use crate::ops::access_log::{Access, Caller, Client, Rules};
use crate::ops::metrics::Recorder;
use crate::ops::older_clients::{OlderClients, OlderRequests};
use crate::ops::sampler::{Admitted, Samplers};
use crate::redact::Redacted;

/// The log of one shard.
pub(super) struct ShardLog {
    pub(super) shard: u16,
    /// `DEBUG`: logs the contents of updates.
    pub(super) log_updates: bool,
    pub(super) rules: Rules,
    pub(super) recorder: Recorder,
    pub(super) samplers: Samplers,
    /// The clients of draft 04 or 07, where the hub speaks draft 08, too.
    pub(super) older_clients: OlderClients,
}

impl ShardLog {
    /// Logs a response with a body of `body_bytes` bytes, to a request that began to arrive at
    /// `began_ms`; `refusal` is the reason, if it is refused.
    pub(super) fn response(
        &mut self,
        caller: &Caller,
        (began_ms, now_ms): (u64, u64),
        response: &Response,
        body_bytes: usize,
        refusal: Option<&Refusal>,
    ) {
        let status = response.status();
        if let Some(Refusal { text: reason, unavailable }) = refusal {
            self.recorder.refused(status, *unavailable);
            if let Some(Admitted { left_out }) = self.samplers.refused.admit(now_ms) {
                let ([dialect, token_dialect], status) = (caller.spoken.names(), status.as_u16());
                info!(client = %caller.client, status, dialect, token_dialect, reason, left_out, "refused");
            }
        }
        if self.rules.is_logged {
            match &caller.access {
                Some(access) => access.answered(status, body_bytes, now_ms),
                None => Access::unreadable(caller.client, began_ms).answered(status, body_bytes, now_ms),
            }
        }
    }

    /// Names the client of a request of draft 04 or 07, or with such a token, once in a while, so
    /// that an operator finds the last old client.
    pub(super) fn older_client(&mut self, caller: &Caller, request: &Request<'_>, now_ms: u64) {
        let (address, method, spoken) = (caller.client.address(), request.method_name(), caller.spoken);
        let due = self.older_clients.add(address, request.user_agent, method, spoken, now_ms);
        let Some(OlderRequests { requests, left_out }) = due else { return };
        let client = address.map(|address| tracing::field::display(address.to_canonical()));
        let path = Redacted::target(request.path, request.query);
        let user_agent = request.user_agent.map(|text| tracing::field::display(Redacted::new(text)));
        let [dialect, token_dialect] = spoken.names();
        info!(
            client, user_agent, method, %path, dialect, token_dialect, requests, left_out,
            "a client still speaks draft 04 or 07"
        );
    }

    /// Logs a defect of the hub in a request. If it was a panic, that has a line of its own.
    pub(super) fn defect(&mut self, client: Client, now_ms: u64) {
        if let Some(Admitted { left_out }) = self.samplers.defects.admit(now_ms) {
            error!(%client, left_out, "a request met a defect of the hub; it got 500");
        }
    }

    /// Counts and logs a failed read of the history. The error names the position of a damaged
    /// update.
    pub(super) fn history_error(&mut self, error: &HistoryError, now_ms: u64) {
        if let Some(position) = error.position() {
            self.recorder.unreadable(position);
        }
        if let Some(Admitted { left_out }) = self.samplers.history.admit(now_ms) {
            error!(error = %crate::error_text::chain(error), left_out, "the history cannot be read");
        }
    }

    /// Logs a stream that was ended because the epoll set could not watch its socket.
    pub(super) fn unwatched(&mut self, error: &std::io::Error, now_ms: u64) {
        if let Some(Admitted { left_out }) = self.samplers.sockets.admit(now_ms) {
            error!(%error, left_out, "a stream was ended: its socket cannot be watched");
        }
    }

    /// Logs the end of a stream.
    pub(super) fn end(&mut self, slot: u32, reason: EndReason, access: Option<&Access>, now_ms: u64) {
        self.recorder.ended(reason);
        if let Some(access) = access {
            access.ended(reason, now_ms);
        }
        if reason == EndReason::HistoryUnreadable
            && let Some(Admitted { left_out }) = self.samplers.history.admit(now_ms)
        {
            error!(slot, left_out, "a stream was ended: the history cannot be read");
        }
        debug!(shard = self.shard, slot, ?reason, "subscription ended");
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{self, Write as _};
    use std::sync::{Arc, Mutex};

    use http::Method;
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::api::request_counts::SpokenDialects;
    use crate::http::request::Version;
    use crate::mercure::dialect::Dialect;

    /// Events as their code makes them, before a line of the log is searched for tokens once more.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<String>>);

    struct EventFields<'e>(&'e mut String);

    impl Visit for EventFields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let _ = write!(self.0, "{field}={value:?} ");
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Events {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            event.record(&mut EventFields(&mut self.0.lock().expect("a lock")));
        }
    }

    /// What is logged of a client of draft 07.
    fn older_client(query: &str, user_agent: &str) -> String {
        let mut log = ShardLog {
            shard: 0,
            log_updates: false,
            rules: Rules { is_logged: false, trusts_proxy: false },
            recorder: Recorder::new(Arc::default()),
            samplers: Samplers::default(),
            older_clients: OlderClients::default(),
        };
        let mut request = Request::new(Method::GET, Version::Http11, "/.well-known/mercure", Some(query));
        request.field("user-agent", user_agent.as_bytes()).expect("a field");
        let mut caller = Caller::peer(None);
        caller.speaks(SpokenDialects { request: Some(Dialect::Draft07), token: Some(Dialect::Draft07) });
        let events = Events::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        tracing::subscriber::with_default(subscriber, || log.older_client(&caller, &request, 0));
        let text = events.0.lock().expect("a lock");
        text.clone()
    }

    #[test]
    fn the_line_about_an_older_client_has_no_token() {
        const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJtZXJjdXJlIjp7fX0.c2lnbmF0dXJlLW9mLWl0";
        let encoded: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let twice = encoded.replace('%', "%25");
        for secret in [TOKEN, &encoded, &twice, "s3cret-s3cret"] {
            for name in ["authorization=", "Authorization%3D", "x=Bearer%20"] {
                let (query, user_agent) = (format!("topic=a&{name}{secret}"), format!("app token={secret}"));
                let line = older_client(&query, &user_agent);
                assert!(line.contains("/.well-known/mercure?topic=a&") && line.contains("app "), "{line}");
                assert!(!line.contains(secret), "{line}");
                assert_eq!(line.matches("***").count(), 2, "{line}");
            }
        }
    }
}

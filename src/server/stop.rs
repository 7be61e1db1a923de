//! How a hub ends, and the threads that end with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use super::control::Happened;
use crate::api::keyring::SharedKeys;
use crate::io::ProcessRole;
use crate::io::waker::ShardWaker;
use crate::server::error::RunError;
use crate::server::receipt::EmbeddedPublisher;
use crate::server::spawn::start_thread;
use crate::services::key_sets::{Fetcher, KeySetSource};

/// Ends a hub: at a stop, after a defect, or during a failed start. In an embedding program, the
/// threads with ports are joined.
pub(super) struct HubShutdown {
    pub(super) role: ProcessRole,
    /// Nothing new begins.
    pub(super) stopping: Arc<AtomicBool>,
    /// The hub has ended: stops the threads that run to the end (metrics, key sets).
    pub(super) ended: Arc<AtomicBool>,
    pub(super) wakers: Vec<Arc<ShardWaker>>,
    pub(super) publisher: EmbeddedPublisher,
    /// The key sets that are fetched, each by the thread of this name.
    pub(super) keys: Vec<(String, Arc<SharedKeys>)>,
    /// How many threads have fetched key sets so far.
    fetchers: usize,
    pub(super) helpers: Vec<JoinHandle<()>>,
}

impl HubShutdown {
    pub(super) fn new(role: ProcessRole, wakers: Vec<Arc<ShardWaker>>, publisher: EmbeddedPublisher) -> Self {
        let (stopping, ended) = (Arc::default(), Arc::default());
        Self { role, stopping, ended, wakers, publisher, keys: Vec::new(), fetchers: 0, helpers: Vec::new() }
    }

    /// Starts a thread that regularly checks whether the hub has ended.
    pub(super) fn help(
        &mut self,
        name: &str,
        reports: &Sender<Happened>,
        run: impl FnOnce(Arc<AtomicBool>) + Send + 'static,
    ) -> Result<(), RunError> {
        let ended = Arc::clone(&self.ended);
        self.helpers.push(start_thread(name, reports, move || run(ended))?);
        Ok(())
    }

    /// Starts a thread for each key set.
    pub(super) fn fetch(
        &mut self,
        sources: &[KeySetSource],
        reports: &Sender<Happened>,
    ) -> Result<(), RunError> {
        for source in sources {
            let (fetcher, ended) = (Fetcher::new(source.clone()), Arc::clone(&self.ended));
            let (name, wakers) = (format!("keys-{}", self.fetchers), self.wakers.clone());
            let wake = move || wakers.iter().for_each(|waker| waker.wake());
            start_thread(&name, reports, move || fetcher.run(&ended, wake))?;
            self.fetchers += 1;
            self.keys.push((name, Arc::clone(&source.keys)));
        }
        Ok(())
    }

    /// Whether this thread fetched a set that no issuer uses any more: then it may end.
    pub(super) fn forget_retired(&mut self, name: &str) -> bool {
        let place = self.keys.iter().position(|(thread, keys)| thread == name && keys.is_retired());
        place.map(|place| self.keys.swap_remove(place)).is_some()
    }

    /// Shards that sleep take keys that were replaced.
    pub(super) fn wake_shards(&self) {
        self.wakers.iter().for_each(|waker| waker.wake());
    }

    /// Tells every thread to stop.
    pub(super) fn begin(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.publisher.close();
        self.wake_shards();
    }
}

impl Drop for HubShutdown {
    fn drop(&mut self) {
        self.begin();
        self.ended.store(true, Ordering::SeqCst);
        self.keys.iter().for_each(|(_, keys)| keys.fetch());
        if self.role == ProcessRole::Program {
            // The program may need their ports again.
            for helper in self.helpers.drain(..) {
                // A panic was reported already.
                let _ = helper.join();
            }
        }
    }
}

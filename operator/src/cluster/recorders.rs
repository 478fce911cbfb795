//! Writes events, each with its own words.
//!
//! To a recorder of kube-runtime all events of one reason about one object are one that repeats, whatever they say: people would go on
//! reading the words of the first. So each note has a recorder of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

/// For how long an event counts as the same one that happens again, as a recorder has it.
const REPEATS: Duration = Duration::from_mins(6);

/// The recorders of all notes that may repeat.
pub struct Recorders {
    client: Client,
    reporter: Reporter,
    /// By note, and when it was told last.
    all: Mutex<HashMap<String, (Recorder, Instant)>>,
}

impl Recorders {
    /// That write as this reporter.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self { client, reporter, all: Mutex::default() }
    }

    /// Writes an event, or that it has happened again.
    pub async fn publish(&self, event: &Event, reference: &ObjectReference) -> Result<(), kube::Error> {
        self.of(event.note.as_deref().unwrap_or_default()).publish(event, reference).await
    }

    fn of(&self, note: &str) -> Recorder {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, told)| told.elapsed() < REPEATS);
        let new = || (Recorder::new(self.client.clone(), self.reporter.clone()), Instant::now());
        let (recorder, told) = all.entry(note.to_owned()).or_insert_with(new);
        *told = Instant::now();
        recorder.clone()
    }
}

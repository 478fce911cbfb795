//! Slots that are kept though no Sink reads them: whether they are there still, and how much of the log the database keeps for them.

use std::collections::BTreeMap;
use std::time::Duration;

use afterbay_clients::postgres::catalogue::slot;
use afterbay_clients::postgres::{PostgresError, sql};
use afterbay_crds::plan::PostgresConnectionPlan;
use tokio::time::Instant;

use super::memory::Memory;
use super::provide::pause;
use super::{Look, handshake, plan};
use crate::cluster::context::Failure;

/// What the database says of such slots.
#[derive(Debug)]
pub struct Known {
    key: String,
    due: Instant,
    failures: u32,
    slots: BTreeMap<String, Found>,
}

/// What there is of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not there any more.
    Gone,
    /// It holds so many bytes of the log, if that is known.
    Holds(Option<u64>),
}

impl Look<'_> {
    /// Asks the database for these slots, as seldom as workers are provided for; and when to ask again.
    pub(super) async fn ask_for_slots(
        &self,
        memory: &mut Memory,
        slots: &[String],
    ) -> Result<(BTreeMap<String, Found>, Option<Duration>), Failure> {
        if slots.is_empty() || !self.verdict.source.is_fine() {
            memory.kept = None;
            return Ok((BTreeMap::new(), None));
        }
        let scratch = self.context.scratch.folder()?;
        let alike = self.connection(plan::SECRETS_DIR.into());
        let found = self.connection(scratch.path().to_owned());
        let (Some(alike), Some(found)) = (alike, found) else { return Ok((BTreeMap::new(), None)) };
        let key = format!("{} {}", handshake::key(&alike), slots.join(" "));
        let known = memory.kept.take().filter(|known| known.key == key);
        let known = match known {
            Some(known) if Instant::now() < known.due => known,
            known => {
                scratch.keep(&found.secrets)?;
                let (slots, failures) = match ask(&found.connection, slots).await {
                    Ok(slots) => (slots, 0),
                    // What was known last is better than nothing.
                    Err(_) => known.map_or((BTreeMap::new(), 1), |known| (known.slots, known.failures + 1)),
                };
                Known { key, due: Instant::now() + pause(failures), failures, slots }
            }
        };
        let known = memory.kept.insert(known);
        Ok((known.slots.clone(), Some(known.due.saturating_duration_since(Instant::now()))))
    }
}

async fn ask(connection: &PostgresConnectionPlan, slots: &[String]) -> Result<BTreeMap<String, Found>, PostgresError> {
    let client = sql::connect(connection).await?;
    let mut all = BTreeMap::new();
    for name in slots {
        let found = slot::status(&client, name).await?;
        let bytes = |held: i64| u64::try_from(held).ok();
        let found = found.map_or(Found::Gone, |found| Found::Holds(found.held_bytes.and_then(bytes)));
        all.insert(name.clone(), found);
    }
    Ok(all)
}

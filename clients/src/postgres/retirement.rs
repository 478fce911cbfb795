//! The slots and the publication of a SourceConnector that is deleted: dropped, as far as they are its own and nobody reads them.
//!
//! What is gone already is no error, so that it can be done again after whatever end.

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::retirement::RetiredSource;

use super::catalogue::publication;
use super::catalogue::slot::{self, SlotStatus};
use super::{SqlClient, quote, sql};

/// Drops them; `dropped` is called after each slot. Slots first: a publication that is gone makes whoever reads a slot fail.
pub async fn retire(source: &RetiredSource, dropped: impl Fn()) -> Result<(), Problem> {
    let client = sql::connect(&source.connection).await.map_err(|error| error.problem())?;
    // Whoever gives up a try is to leave no statement behind that waits, and drops what somebody has made anew meanwhile.
    client.execute("SET statement_timeout = '15s'").await.map_err(|error| error.problem())?;
    for name in &source.slots {
        let found = slot::status(&client, name).await.map_err(|error| error.problem())?;
        let Some(found) = found else { continue };
        is_ours(source, name, &found)?;
        slot::drop(&client, name).await.map_err(|error| error.problem())?;
        dropped();
    }
    match &source.publication {
        Some(name) => drop_publication(&client, name).await,
        None => Ok(()),
    }
}

/// A slot of that name that somebody else has made, or reads, is not to be dropped.
fn is_ours(source: &RetiredSource, name: &str, slot: &SlotStatus) -> Result<(), Problem> {
    let database = &source.connection.database;
    if slot.plugin.as_deref() != Some("pgoutput") || slot.database.as_deref() != Some(database) {
        return Err(Reason::SlotUnfit.problem(
            format!("replication slot {name} is not a pgoutput slot of database {database}"),
            "it is another's: leave it as it is, or drop it by hand",
        ));
    }
    if let Some(pid) = slot.active_pid {
        return Err(Reason::SlotInUse
            .problem(format!("replication slot {name} is in use by the server process {pid}"), "end its client"));
    }
    Ok(())
}

async fn drop_publication(client: &SqlClient, name: &str) -> Result<(), Problem> {
    let found = publication::find(client, name).await.map_err(|error| error.problem())?;
    match found {
        None => Ok(()),
        Some(found) if found.owned => publication::drop(client, name).await.map_err(|error| error.problem()),
        Some(found) => Err(Reason::PublicationNotOwned.problem(
            format!("publication {name} belongs to role {}", found.owner),
            format!("have its owner run DROP PUBLICATION {}", quote::identifier(name)),
        )),
    }
}

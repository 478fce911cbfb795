//! What must hold before a Sink is fed, and what is said where it does not. Pure, but for the look-ups.

use afterbay_clients::postgres::SqlClient;
use afterbay_clients::postgres::catalogue::publication::{self, Operations, Publication, PublishedTable};
use afterbay_clients::postgres::catalogue::server::{self, ServerFacts};
use afterbay_clients::postgres::catalogue::slot::SlotStatus;
use afterbay_clients::postgres::catalogue::table as tables;
use afterbay_clients::postgres::wire::{ReplicationConnection, SystemIdentity, TimelineSwitch};
use afterbay_clients::postgres::{Lsn, PostgresError, quote};
use afterbay_crds::plan::{PostgresPlan, RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;
use afterbay_queries::carried;

use super::not_found;
use crate::position::Position;
use crate::protocol::{RelationIdentity, SourceIdentity};

/// The slot can be read by this worker, as far as its state tells.
pub fn slot_is_fit(plan: &PostgresPlan, slot: &SlotStatus) -> Result<(), Problem> {
    slot_is_ours(plan, slot)?;
    slot_has_its_log(&plan.slot, slot)
}

/// The slot is one that this worker can have made.
pub fn slot_is_ours(plan: &PostgresPlan, slot: &SlotStatus) -> Result<(), Problem> {
    let name = &plan.slot;
    if slot.plugin.as_deref() != Some("pgoutput") || slot.database.as_deref() != Some(&plan.connection.database) {
        return Err(Reason::SlotUnfit.problem(
            format!(
                "replication slot {name} is not a pgoutput slot of database {} (plugin {}, database {})",
                plan.connection.database,
                slot.plugin.as_deref().unwrap_or("none"),
                slot.database.as_deref().unwrap_or("none")
            ),
            "choose another spec.postgres.slot.name, or drop that slot if nobody needs it",
        ));
    }
    Ok(())
}

/// The server can still give what the slot is to hold.
pub fn slot_has_its_log(name: &str, slot: &SlotStatus) -> Result<(), Problem> {
    if slot.lost() {
        return Err(slot_lost(
            name,
            "the server has invalidated it (max_slot_wal_keep_size, idle_replication_slot_timeout) or removed the log that it \
             needs",
        ));
    }
    Ok(())
}

/// The slot is gone, or of no use.
pub fn slot_lost(name: &str, what: &str) -> Problem {
    Reason::SlotLost.problem(
        format!("replication slot {name} is lost: {what}"),
        "changes since the last commit cannot be had any more: give the Sink a new name and topic to start afresh with a \
         snapshot, or set slot.onLoss: Resnapshot to have all rows sent again into the same topic",
    )
}

/// The slot stands at or before what this Sink has committed.
pub fn slot_is_not_ahead(name: &str, confirmed: Option<Lsn>, position: &Position) -> Result<(), Problem> {
    match confirmed {
        Some(confirmed) if confirmed > position.replay_from() => Err(Reason::SlotAheadOfProgress.problem(
            format!("replication slot {name} stands at {confirmed}, beyond the committed position {position}"),
            "the changes between the two are lost to this Sink (the slot was read by somebody else, or made anew): \
             give the Sink a new name and topic to start afresh with a snapshot, or set slot.onLoss: Resnapshot",
        )),
        _ => Ok(()),
    }
}

/// The database is the one that the record was made on, and holds all that the record speaks of.
pub fn identity_fits(
    record: &SourceIdentity,
    position: &Position,
    server: &SystemIdentity,
    history: &[TimelineSwitch],
) -> Result<(), Problem> {
    let changed = |what: String| {
        Reason::SourceIdentityChanged.problem(
            what,
            "positions of one database mean nothing in another: point the SourceConnector back at the old database, \
             or give the Sink a new name and topic to start afresh",
        )
    };
    if record.system != server.system_id {
        return Err(changed(format!(
            "the progress was made on the database system {}, but this is {}",
            record.system, server.system_id
        )));
    }
    if record.database != server.database {
        return Err(changed(format!(
            "the progress was made in database {}, but this is {}",
            record.database, server.database
        )));
    }
    if record.timeline != server.timeline {
        let switched = history.iter().find(|switch| switch.timeline == record.timeline);
        match switched {
            Some(switch) if switch.switch_lsn >= position.replay_from() => {}
            _ => {
                return Err(changed(format!(
                    "the progress {position} was made on timeline {}, which the server's timeline {} does not hold",
                    record.timeline, server.timeline
                )));
            }
        }
    }
    if position.replay_from() > server.wal_end {
        return Err(Reason::ProgressBeyondSource.problem(
            format!("the committed position {position} lies beyond the end of the log, {}", server.wal_end),
            "the database was set back (a restored disk or backup): give the Sink a new name and topic to start afresh",
        ));
    }
    Ok(())
}

/// The history of the server's timeline, where a record of another one asks for it.
pub async fn history(
    connection: &mut ReplicationConnection,
    server: &SystemIdentity,
    records: impl IntoIterator<Item = u32>,
) -> Result<Vec<TimelineSwitch>, PostgresError> {
    if server.timeline > 1 && records.into_iter().any(|timeline| timeline != server.timeline) {
        return connection.timeline_history(server.timeline).await;
    }
    Ok(Vec::new())
}

/// The table's entry in the publication, which must hold the whole table and all kinds of its changes.
pub async fn published(
    client: &SqlClient,
    name: &str,
    table: &TableName,
) -> Result<Result<u32, Problem>, PostgresError> {
    let found = publication::find_with(client, name, std::slice::from_ref(table)).await?;
    Ok(publication_holds(name, found.as_ref(), table).map(|published| published.entry))
}

/// Of each table that a Sink has begun to carry: that it is still what it was, and was published all the time; else what
/// stands against that. One look for all of them.
pub async fn standing(
    client: &SqlClient,
    publication: &str,
    begun: &[(&TableName, RelationIdentity)],
) -> Result<Vec<Result<TableDescription, Problem>>, PostgresError> {
    let names: Vec<_> = begun.iter().map(|(table, _)| (*table).clone()).collect();
    let found = publication::find_with(client, publication, &names).await?;
    let described = tables::describe_all(client, &names).await?;
    let mut verdicts = Vec::new();
    for ((table, record), described) in begun.iter().zip(described) {
        verdicts.push(match described {
            Some(described) => {
                still_stands(publication, found.as_ref(), table, *record, described.oid).map(|()| described)
            }
            None => Err(not_found(client, table).await?),
        });
    }
    Ok(verdicts)
}

/// Of each table that a Sink by pattern is to carry from now on: the table, and what its record is to say of it; else what
/// stands against that. One look for all of them, but for the rights.
pub async fn joining(
    client: &SqlClient,
    facts: &ServerFacts,
    publication: &str,
    tables: &[(&TableName, Option<&RelationPlan>)],
) -> Result<Vec<Result<(TableDescription, RelationIdentity), Problem>>, PostgresError> {
    let names: Vec<_> = tables.iter().map(|(table, _)| (*table).clone()).collect();
    let found = publication::find_with(client, publication, &names).await?;
    let described = tables::describe_all(client, &names).await?;
    let mut verdicts = Vec::new();
    for ((table, relation), described) in tables.iter().zip(described) {
        let Some(described) = described else {
            verdicts.push(Err(not_found(client, table).await?));
            continue;
        };
        let access = server::table_access(client, described.oid).await?;
        // The table itself first: one that is not fit is not published.
        let unfit = relation.and_then(|relation| carried::check_anew(&described, relation).err()).unwrap_or_default();
        let refused = access.map(|access| access.problems(facts, table)).unwrap_or_default();
        let problem = unfit.into_iter().chain(refused).next();
        verdicts.push(match (problem, publication_holds(publication, found.as_ref(), table)) {
            (Some(problem), _) | (None, Err(problem)) => Err(problem),
            (None, Ok(published)) => {
                let identity = RelationIdentity { oid: described.oid, entry: published.entry };
                Ok((described, identity))
            }
        });
    }
    Ok(verdicts)
}

fn still_stands(
    name: &str,
    publication: Option<&Publication>,
    table: &TableName,
    record: RelationIdentity,
    oid: u32,
) -> Result<(), Problem> {
    if oid != record.oid {
        return Err(made_again(table, oid, record.oid));
    }
    match publication_holds(name, publication, table) {
        Ok(published) if published.is_held_by(record.entry) => Ok(()),
        Ok(_) => Err(was_away(format!(
            "table {table} was taken out of publication {name} and added again, or that was made anew"
        ))),
        Err(problem) => Err(was_away(problem.message)),
    }
}

/// The name leads to another table than the one that the Sink has begun to carry.
pub fn made_again(table: &TableName, oid: u32, was: u32) -> Problem {
    Reason::SchemaChanged.problem(
        format!("table {table} was dropped and made again, or another took its name (oid {oid} was {was})"),
        "its rows can no longer be told from those sent before: give the Sink a new name and topic, or give the name back \
         to the first table if that is still there",
    )
}

/// The table that the Sink has begun to carry has another name.
pub fn renamed(table: &TableName, now: &TableName) -> Problem {
    Reason::SchemaChanged.problem(
        format!("table {table} is now named {now}"),
        "give it its name back, or give the Sink a new name and topic",
    )
}

fn was_away(what: String) -> Problem {
    Reason::PublicationChanged.problem(
        what,
        "what was changed meanwhile was not published and cannot be had any more: give the Sink a new name and topic to \
         start afresh with a snapshot",
    )
}

fn publication_holds<'p>(
    name: &str,
    publication: Option<&'p Publication>,
    table: &TableName,
) -> Result<&'p PublishedTable, Problem> {
    let incomplete = |message: String, hint: String| Err(Reason::PublicationIncomplete.problem(message, hint));
    let quoted = quote::identifier(name);
    let Some(publication) = publication else {
        let create = publication::create_sql(name, std::slice::from_ref(table));
        return incomplete(format!("there is no publication {name}"), format!("run {create};"));
    };
    if publication.operations != Operations::ALL || !publication.via_partition_root {
        return incomplete(
            format!("publication {name} leaves out a kind of change, or names partitions instead of their root"),
            format!(
                "run ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate', \
                 publish_via_partition_root = true);"
            ),
        );
    }
    let Some(published) = publication.tables.iter().find(|published| published.table == *table) else {
        return incomplete(
            format!("publication {name} does not hold table {table}"),
            format!("run ALTER PUBLICATION {quoted} ADD TABLE {};", quote::table(table)),
        );
    };
    if published.columns.is_some() || published.row_filter.is_some() {
        return incomplete(
            format!("publication {name} holds only some columns or rows of table {table}"),
            format!(
                "publish all of it: ALTER PUBLICATION {quoted} DROP TABLE {0}; then ADD TABLE {0};",
                quote::table(table)
            ),
        );
    }
    Ok(published)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(timeline: u32) -> SourceIdentity {
        SourceIdentity { system: "7".into(), timeline, database: "shop".into(), slot: "s".into() }
    }

    fn server(timeline: u32) -> SystemIdentity {
        SystemIdentity { system_id: "7".into(), timeline, wal_end: Lsn(1_000), database: "shop".into() }
    }

    fn reason(result: Result<(), Problem>) -> String {
        result.err().map_or_else(|| "fit".into(), |problem| problem.reason)
    }

    #[test]
    fn the_slot_may_not_be_ahead() {
        let at = |confirmed| reason(slot_is_not_ahead("s", Some(Lsn(confirmed)), &Position::Done(Lsn(100))));
        assert_eq!(at(99), "fit");
        assert_eq!(at(100), "fit");
        assert_eq!(at(101), "SlotAheadOfProgress");
    }

    #[test]
    fn another_system_or_a_restored_one_is_refused() {
        let done = |lsn| Position::Done(Lsn(lsn));
        assert_eq!(reason(identity_fits(&record(1), &done(1_000), &server(1), &[])), "fit");
        let other = SourceIdentity { system: "8".into(), ..record(1) };
        assert_eq!(reason(identity_fits(&other, &done(1), &server(1), &[])), "SourceIdentityChanged");
        let other = SourceIdentity { database: "shop2".into(), ..record(1) };
        assert_eq!(reason(identity_fits(&other, &done(1), &server(1), &[])), "SourceIdentityChanged");
        assert_eq!(reason(identity_fits(&record(1), &done(1_001), &server(1), &[])), "ProgressBeyondSource");
    }

    #[test]
    fn a_failover_behind_the_position_is_fine_and_one_before_it_is_not() {
        let done = |lsn| Position::Done(Lsn(lsn));
        let history = [TimelineSwitch { timeline: 1, switch_lsn: Lsn(500) }];
        assert_eq!(reason(identity_fits(&record(1), &done(500), &server(2), &history)), "fit");
        assert_eq!(reason(identity_fits(&record(1), &done(501), &server(2), &history)), "SourceIdentityChanged");
        assert_eq!(reason(identity_fits(&record(3), &done(1), &server(2), &history)), "SourceIdentityChanged");
    }

    fn orders() -> TableName {
        TableName { schema: "public".into(), name: "orders".into() }
    }

    /// A publication of one table, with an entry of its own and one of its schema.
    fn publication(entry: u32, schema_entry: Option<u32>) -> Publication {
        let whole = PublishedTable { table: orders(), columns: None, row_filter: None, entry, schema_entry };
        Publication {
            name: "p".into(),
            owner: "app".into(),
            owned: true,
            all_tables: false,
            operations: Operations::ALL,
            via_partition_root: true,
            tables: vec![whole],
        }
    }

    /// For a Sink that began with the table 7 and its entry 1.
    fn stands(oid: u32, publication: Option<&Publication>) -> String {
        reason(still_stands("p", publication, &orders(), RelationIdentity { oid: 7, entry: 1 }, oid))
    }

    #[test]
    fn a_table_stands_while_what_it_began_with_does() {
        assert_eq!(stands(7, Some(&publication(1, None))), "fit");
        assert_eq!(stands(7, Some(&publication(1, Some(2)))), "fit", "its schema joined");
        assert_eq!(stands(7, Some(&publication(2, Some(1)))), "fit", "it was named besides its schema");
        assert_eq!(stands(7, Some(&publication(2, None))), "PublicationChanged");
        assert_eq!(stands(7, Some(&publication(2, Some(3)))), "PublicationChanged");
        assert_eq!(stands(7, Some(&Publication { tables: Vec::new(), ..publication(1, None) })), "PublicationChanged");
        assert_eq!(stands(7, None), "PublicationChanged");
        assert_eq!(stands(8, Some(&publication(1, None))), "SchemaChanged");
    }

    #[test]
    fn a_publication_of_a_part_does_not_do() {
        let part = |change: fn(&mut Publication)| {
            let mut publication = publication(1, None);
            change(&mut publication);
            publication_holds("p", Some(&publication), &orders()).err().map(|problem| problem.reason)
        };
        assert_eq!(part(|_| {}), None);
        let parts: [fn(&mut Publication); 4] = [
            |publication| publication.operations.truncate = false,
            |publication| publication.via_partition_root = false,
            |publication| publication.tables[0].columns = Some(vec!["id".into()]),
            |publication| publication.tables[0].row_filter = Some("(id > 7)".into()),
        ];
        for change in parts {
            assert_eq!(part(change).as_deref(), Some("PublicationIncomplete"));
        }
    }
}

//! Commands with an end: queries, and those of the replication grammar.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::ReplicationConnection;
use crate::postgres::cursor::{Broken, Cursor};
use crate::postgres::error::{PostgresError, with_detail};
use crate::postgres::lsn::Lsn;
use crate::postgres::quote;
use crate::postgres::session::{self, Place};

/// One row in text form.
pub type TextRow = Vec<Option<String>>;

/// Who the server is (`IDENTIFY_SYSTEM`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The cluster's identifier, the same on all its copies.
    pub system_id: String,
    /// The timeline that it writes.
    pub timeline: u32,
    /// How far its log is flushed.
    pub wal_end: Lsn,
    /// The database of the session.
    pub database: String,
}

/// Where one timeline ended and the next began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSwitch {
    /// The timeline that ended.
    pub timeline: u32,
    /// Where.
    pub switch_lsn: Lsn,
}

/// How a slot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOptions {
    /// Whether it goes with the session.
    pub temporary: bool,
    /// What becomes of the snapshot of its consistent point.
    pub snapshot: SlotSnapshot,
    /// Whether standbys are to keep a copy of it. Servers before 17 refuse that, and so do all for a temporary one.
    pub failover: bool,
}

/// What becomes of the snapshot of a new slot's consistent point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// The session's own transaction, which must be `REPEATABLE READ` and just begun, uses it.
    Use,
    /// Others can use it by its name until the session's next command.
    Export,
    /// Nothing.
    Nothing,
}

/// A new slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// The slot gives every transaction that commits after this place, and its snapshot shows all that commit before.
    pub consistent_point: Lsn,
    /// The snapshot's name, where one was exported.
    pub snapshot_name: Option<String>,
}

impl ReplicationConnection {
    /// Runs statements (the simple protocol) and gives all their rows.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<TextRow>, PostgresError> {
        let place = Arc::clone(&self.place);
        session::answer(&place, self.rows(sql)).await
    }

    /// As [`Self::query`], however long it takes.
    async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, PostgresError> {
        self.begin(sql).await?;
        let mut rows = Vec::new();
        self.drain(|kind, body| {
            if kind == b'D' {
                rows.push(data_row(body)?);
            }
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs statements whose rows are of no interest.
    pub async fn execute(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.query(sql).await.map(drop)
    }

    /// `IDENTIFY_SYSTEM`.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, PostgresError> {
        let place = Arc::clone(&self.place);
        let row = session::answer(&place, self.single_row("IDENTIFY_SYSTEM")).await?;
        let identity = match row.as_slice() {
            [Some(system_id), Some(timeline), Some(wal_end), Some(database), ..] => {
                timeline.parse().ok().zip(wal_end.parse().ok()).map(|(timeline, wal_end)| SystemIdentity {
                    system_id: system_id.clone(),
                    timeline,
                    wal_end,
                    database: database.clone(),
                })
            }
            _ => None,
        };
        identity.ok_or_else(|| self.unexpected("IDENTIFY_SYSTEM"))
    }

    /// `TIMELINE_HISTORY`: the ends of the timelines that a timeline descends from, the oldest first.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<Vec<TimelineSwitch>, PostgresError> {
        if timeline <= 1 {
            // The first one descends from none, and has no file that the server could show.
            return Ok(Vec::new());
        }
        let place = Arc::clone(&self.place);
        let row = session::answer(&place, self.single_row(&format!("TIMELINE_HISTORY {timeline}"))).await?;
        let content = row.get(1).and_then(Option::as_deref);
        content.and_then(parse_history).ok_or_else(|| self.unexpected("TIMELINE_HISTORY"))
    }

    /// Makes a slot for pgoutput. Waits for every transaction that is running, so it may take long.
    pub async fn create_slot(&mut self, name: &str, options: SlotOptions) -> Result<CreatedSlot, PostgresError> {
        let temporary = if options.temporary { "TEMPORARY " } else { "" };
        // Of the options' two forms the old one, which servers from 13 to 18 understand alike, where it has words for them.
        let options = match (options.snapshot, options.failover) {
            (SlotSnapshot::Use, false) => "USE_SNAPSHOT",
            (SlotSnapshot::Export, false) => "EXPORT_SNAPSHOT",
            (SlotSnapshot::Nothing, false) => "NOEXPORT_SNAPSHOT",
            (SlotSnapshot::Use, true) => "(SNAPSHOT 'use', FAILOVER)",
            (SlotSnapshot::Export, true) => "(SNAPSHOT 'export', FAILOVER)",
            (SlotSnapshot::Nothing, true) => "(SNAPSHOT 'nothing', FAILOVER)",
        };
        let slot = quote::identifier(name);
        let row =
            self.single_row(&format!("CREATE_REPLICATION_SLOT {slot} {temporary}LOGICAL pgoutput {options}")).await?;
        match row.as_slice() {
            [Some(name), Some(point), snapshot_name, ..] => match point.parse() {
                Ok(consistent_point) => {
                    Ok(CreatedSlot { name: name.clone(), consistent_point, snapshot_name: snapshot_name.clone() })
                }
                Err(_) => Err(self.unexpected("CREATE_REPLICATION_SLOT")),
            },
            _ => Err(self.unexpected("CREATE_REPLICATION_SLOT")),
        }
    }

    /// Drops a slot; with `wait`, after whoever reads it has left.
    pub async fn drop_slot(&mut self, name: &str, wait: bool) -> Result<(), PostgresError> {
        let slot = quote::identifier(name);
        if wait {
            return self.rows(&format!("DROP_REPLICATION_SLOT {slot} WAIT")).await.map(drop);
        }
        self.execute(&format!("DROP_REPLICATION_SLOT {slot}")).await
    }

    /// Has standbys keep a copy of a slot from now on. Nobody may read it meanwhile, and the server must be 17 or newer.
    pub async fn make_failover_slot(&mut self, name: &str) -> Result<(), PostgresError> {
        self.execute(&format!("ALTER_REPLICATION_SLOT {} (FAILOVER)", quote::identifier(name))).await
    }

    /// However long it takes.
    async fn single_row(&mut self, command: &str) -> Result<TextRow, PostgresError> {
        match self.rows(command).await?.pop() {
            Some(row) => Ok(row),
            None => Err(self.unexpected(command)),
        }
    }

    fn unexpected(&self, command: &str) -> PostgresError {
        PostgresError::protocol(format!("an unexpected answer to {command}"), &self.place)
    }

    /// Sends a command.
    pub(super) async fn begin(&mut self, sql: &str) -> Result<(), PostgresError> {
        if self.busy {
            return Err(PostgresError::protocol("the session is in the middle of another command", &self.place));
        }
        let mut message = BytesMut::with_capacity(sql.len() + 16);
        frontend::query(sql, &mut message).map_err(|error| PostgresError::protocol(error.to_string(), &self.place))?;
        self.busy = true;
        self.send(&message).await
    }

    /// Reads a command's answer to its end, showing each message to `each`; the server's error, if it sent one.
    pub(super) async fn drain(
        &mut self,
        mut each: impl FnMut(u8, &[u8]) -> Result<(), Broken>,
    ) -> Result<(), PostgresError> {
        let mut failed = None;
        loop {
            let frame = match self.frames.next().await {
                Ok(frame) => frame,
                // After a fatal error the server just closes: its words say more than the end of the stream.
                Err(error) => return Err(failed.unwrap_or_else(|| PostgresError::io(&error, &self.place))),
            };
            match frame.kind {
                b'Z' => break,
                b'E' => failed = failed.or_else(|| Some(server_error(frame.body, &self.place))),
                // A command that would wait for our data: nobody sends any.
                b'G' | b'W' => return Err(PostgresError::protocol("the server waits for data", &self.place)),
                kind => {
                    each(kind, frame.body).map_err(|Broken| PostgresError::protocol("a broken row", &self.place))?;
                }
            }
        }
        self.busy = false;
        failed.map_or(Ok(()), Err)
    }
}

/// The server's error from the fields of an ErrorResponse.
pub(super) fn server_error(body: &[u8], place: &Arc<Place>) -> PostgresError {
    let mut cursor = Cursor::new(body);
    let (mut state, mut message, mut detail, mut hint) = (String::new(), String::new(), None, None);
    while let Ok(field) = cursor.u8() {
        if field == 0 {
            break;
        }
        let Ok(value) = cursor.bytes_to_zero() else { break };
        // Before the login is through, a server's words can be in another encoding.
        let value = String::from_utf8_lossy(value).into_owned();
        match field {
            b'C' => state = value,
            b'M' => message = value,
            b'D' => detail = Some(value),
            b'H' => hint = Some(value),
            _ => {}
        }
    }
    PostgresError::server(&state, with_detail(&message, detail.as_deref(), hint.as_deref()), place)
}

fn data_row(body: &[u8]) -> Result<TextRow, Broken> {
    let mut cursor = Cursor::new(body);
    (0..cursor.u16()?)
        .map(|_| match cursor.i32()? {
            -1 => Ok(None),
            len => {
                let value = cursor.take(usize::try_from(len).map_err(|_| Broken)?)?;
                Ok(Some(String::from_utf8_lossy(value).into_owned()))
            }
        })
        .collect()
}

/// A timeline history file: a line a switch with timeline, place and reason; `#` begins a comment.
fn parse_history(content: &str) -> Option<Vec<TimelineSwitch>> {
    content
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace();
            let timeline = words.next()?.parse().ok()?;
            let switch_lsn = words.next()?.parse().ok()?;
            Some(TimelineSwitch { timeline, switch_lsn })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::PostgresErrorKind;

    #[test]
    fn history_files() {
        let content = "1\t0/5000158\tno recovery target specified\n\n# a comment\n2\t0/6000000\tbefore 2024-01-01\n";
        let switch = |timeline, lsn| TimelineSwitch { timeline, switch_lsn: Lsn(lsn) };
        assert_eq!(parse_history(content), Some(vec![switch(1, 0x0500_0158), switch(2, 0x0600_0000)]));
        assert_eq!(parse_history(""), Some(vec![]));
        assert_eq!(parse_history("1\n"), None);
        assert_eq!(parse_history("one 0/1 x"), None);
    }

    #[test]
    fn errors_keep_the_servers_words() {
        let place = Arc::new(Place { servers: "db:5432".into(), database: "shop".into(), role: "r".into() });
        let body = b"SFATAL\0VFATAL\0C3D000\0Mdatabase \"shop\" does not exist\0Ddetail\nmore\0Hhint\0\0";
        let error = server_error(body, &place);
        assert_eq!(error.kind, PostgresErrorKind::UnknownDatabase);
        assert_eq!(error.sqlstate.as_deref(), Some("3D000"));
        assert_eq!(error.words, "database \"shop\" does not exist; detail more; hint");
    }

    #[test]
    fn rows() {
        let body = [0, 3, 0, 0, 0, 1, b'a', 255, 255, 255, 255, 0, 0, 0, 0];
        assert_eq!(data_row(&body), Ok(vec![Some("a".to_owned()), None, Some(String::new())]));
        assert_eq!(data_row(&body[..body.len() - 1]), Err(Broken));
        assert_eq!(data_row(&[0, 1, 255, 255, 255, 254]), Err(Broken));
    }
}

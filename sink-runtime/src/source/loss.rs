//! What becomes of a Sink whose next changes the slot cannot give any more: it stalls, or begins anew.
//!
//! Nothing is written down for it: where the Sink's record stands before what the slot can give, the changes between are
//! lost, and that stays so until the Sink has committed a new start. So whoever comes after a crash decides the same
//! (`docs/design/0006-lost-and-failover-slots.md`).

use afterbay_clients::postgres::catalogue::slot::SlotStatus;
use afterbay_crds::plan::{OnSlotLoss, PostgresPlan, SinkPlan};
use afterbay_crds::report::Problem;

use super::checks;
use crate::position::Position;

/// Why a Sink is not fed from where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something stands against it, which may pass, or somebody is to decide.
    Problem(Problem),
    /// What follows its position is gone for good, and somebody is to decide.
    Lost(Problem),
    /// The same, and it is to begin anew; the problem tells of it.
    BeginAnew(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Whether the slot has what follows a Sink's position. `ours`: its reader, if there is one, is this worker.
pub fn slot_serves(
    plan: &PostgresPlan,
    sink: Option<&SinkPlan>,
    slot: Option<&SlotStatus>,
    ours: bool,
    position: &Position,
) -> Result<(), Refusal> {
    let name = &plan.slot;
    let serves = match slot {
        None => Err(checks::slot_lost(name, "it does not exist, though there is progress")),
        Some(slot) => {
            checks::slot_is_ours(plan, slot)?;
            checks::slot_has_its_log(name, slot)
                .and_then(|()| checks::slot_is_not_ahead(name, slot.confirmed_flush, position))
        }
    };
    let Err(lost) = serves else { return Ok(()) };
    // Whoever reads or makes it at this moment may change what it is.
    let may_change = !ours && slot.is_some_and(|slot| slot.active_pid.is_some());
    Err(match (plan.on_slot_loss, sink) {
        _ if may_change => Refusal::Problem(lost),
        (OnSlotLoss::Resnapshot, Some(sink)) => under_resnapshot(lost, sink, position),
        _ => Refusal::Lost(lost),
    })
}

fn under_resnapshot(lost: Problem, sink: &SinkPlan, position: &Position) -> Refusal {
    let Problem { reason, message, .. } = lost;
    let (table, topic) = (sink.table_in_words(), sink.topic_in_words());
    if !sink.snapshot {
        // It would go on from now, and nothing in the topic would tell of the gap.
        return Refusal::Lost(Problem {
            reason,
            message: format!("{message}; slot.onLoss is Resnapshot, but the Sink takes no snapshot"),
            hint: "set snapshot: true to have all rows sent (again), or give the Sink a new name and topic".to_owned(),
        });
    }
    Refusal::BeginAnew(Problem {
        reason,
        message: format!("{message}; slot.onLoss is Resnapshot: all rows of table {table} are sent again"),
        hint: format!(
            "find out why the slot was lost. Rows that were deleted, or left their key, behind {position} and before the \
             new snapshot may still stand in topic {topic}: that can no longer be told"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use afterbay_clients::postgres::Lsn;
    use afterbay_crds::manifest::{ManifestFile, read};
    use afterbay_crds::plan::Plan;
    use afterbay_crds::resolve::{ResolveSettings, resolve};

    use super::*;

    const MANIFESTS: &str = "
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {name: events}
spec: {bootstrapServers: 'kafka:9092'}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec: {postgres: {host: db, database: shop, authentication: {username: afterbay}, slot: {name: s, onLoss: Resnapshot}}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: orders}
spec:
  source: {name: shop, table: public.orders}
  key: {columns: [id]}
  kafka: {connection: events, topic: {name: orders}, envelope: upsert, format: {json: {}}}
";

    fn plan() -> Plan {
        let file = ManifestFile { name: "shop.yaml".into(), text: MANIFESTS.into() };
        let (manifests, errors) = read(&[file], "default");
        assert_eq!(errors, []);
        let settings = ResolveSettings {
            instance: "default".into(),
            secrets_dir: PathBuf::new(),
            listen: String::new(),
            begun: std::collections::BTreeSet::new(),
        };
        resolve(&manifests, &settings).remove(0).plan
    }

    fn slot(confirmed: u64) -> SlotStatus {
        SlotStatus {
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            temporary: false,
            active_pid: None,
            confirmed_flush: Some(Lsn(confirmed)),
            restart_lsn: Some(Lsn(1)),
            wal_status: Some("reserved".into()),
            held_bytes: Some(0),
            failover: false,
        }
    }

    /// `fit`, or the reason; with a `!` where it is lost for good, and a `+` where the Sink begins anew. For one that stands
    /// at 100.
    fn verdict(plan: &Plan, slot: Option<&SlotStatus>, ours: bool) -> String {
        match slot_serves(&plan.source, plan.sinks.first(), slot, ours, &Position::Done(Lsn(100))) {
            Ok(()) => "fit".to_owned(),
            Err(Refusal::Problem(problem)) => problem.reason,
            Err(Refusal::Lost(problem)) => format!("{}!", problem.reason),
            Err(Refusal::BeginAnew(problem)) => format!("{}+", problem.reason),
        }
    }

    #[test]
    fn a_sink_begins_anew_where_its_changes_are_gone_for_good() {
        let plan = plan();
        let invalid = SlotStatus { wal_status: Some("lost".into()), restart_lsn: None, ..slot(50) };
        assert_eq!(verdict(&plan, Some(&slot(100)), false), "fit");
        assert_eq!(verdict(&plan, None, false), "SlotLost+");
        assert_eq!(verdict(&plan, Some(&invalid), false), "SlotLost+");
        // It was made anew, and the worker died before this Sink had begun anew.
        assert_eq!(verdict(&plan, Some(&slot(101)), false), "SlotAheadOfProgress+");
    }

    #[test]
    fn what_somebody_else_holds_may_change() {
        let plan = plan();
        let read = SlotStatus { active_pid: Some(7), ..slot(101) };
        assert_eq!(verdict(&plan, Some(&read), false), "SlotAheadOfProgress");
        assert_eq!(verdict(&plan, Some(&read), true), "SlotAheadOfProgress+", "this worker reads it, for other Sinks");
        let being_made = SlotStatus { restart_lsn: None, confirmed_flush: None, ..read };
        assert_eq!(verdict(&plan, Some(&being_made), false), "SlotLost");
    }

    #[test]
    fn a_slot_for_something_else_is_none_of_ours() {
        let plan = plan();
        let other = SlotStatus { plugin: Some("wal2json".into()), wal_status: Some("lost".into()), ..slot(50) };
        assert_eq!(verdict(&plan, Some(&other), false), "SlotUnfit");
    }

    #[test]
    fn without_a_snapshot_there_is_nothing_to_begin_anew_with() {
        let mut plan = plan();
        plan.sinks[0].snapshot = false;
        assert_eq!(verdict(&plan, None, false), "SlotLost!");
        plan.sinks[0].snapshot = true;
        plan.source.on_slot_loss = OnSlotLoss::Fail;
        assert_eq!(verdict(&plan, None, false), "SlotLost!");
        assert_eq!(verdict(&plan, Some(&slot(101)), false), "SlotAheadOfProgress!");
    }
}

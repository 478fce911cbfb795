//! What a Sink says when it cannot go on.

use afterbay_clients::postgres::error::unreachable;
use afterbay_crds::plan::{RelationPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;

use super::SinkContext;
use crate::change::Change;
use crate::position::ChangeId;

/// How many tables a text names.
const TOLD_MAX: usize = 5;

/// The record speaks of another topic than the manifest.
pub fn topic_changed(plan: &RelationPlan, begun: &str) -> Problem {
    Reason::TopicChanged.problem(
        format!("the Sink has begun to fill topic {begun}, its manifest now names {}", plan.topic),
        format!(
            "set spec.kafka.topic.name back to {begun}, or give the Sink a new name to start afresh in the new topic"
        ),
    )
}

/// The record speaks of one table and the manifest of patterns, or the other way round.
pub fn source_changed(by_pattern: bool) -> Problem {
    let (begun, now) = if by_pattern { ("one table", "patterns") } else { ("patterns", "one table") };
    Reason::TopicChanged.problem(
        format!("the Sink has begun with {begun}, its manifest now names {now}"),
        "set spec.source back, or give the Sink a new name to start afresh in new topics",
    )
}

/// Another table bears the name of one whose rows are in the topic.
pub fn another_table(plan: &RelationPlan) -> Problem {
    Reason::SchemaChanged.problem(
        format!(
            "table {} was dropped and made again, and topic {} holds the rows of the first",
            plan.table, plan.topic
        ),
        "exclude it with !pattern and carry it by a Sink of its own, into a topic of another name",
    )
}

/// A problem of one of many tables, which it names.
pub fn of_table(table: &TableName, problem: Problem) -> Problem {
    if problem.message.contains(&table.to_string()) {
        return problem;
    }
    Problem { message: format!("table {table}: {}", problem.message), ..problem }
}

/// What matches and is not carried, in one text.
pub fn left_out(tables: &[(TableName, Problem)]) -> Option<Problem> {
    let (_, first) = tables.first()?;
    // What follows the first line is for who looks at one of them.
    let told = tables.iter().take(TOLD_MAX).map(|(_, problem)| problem.message.lines().next().unwrap_or_default());
    let told = told.collect::<Vec<_>>().join("; ");
    let rest = tables.len().saturating_sub(TOLD_MAX);
    let rest = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    let hint = match tables {
        [_] => first.hint.clone(),
        _ => format!("the status has each with what to do; of the first: {}", first.hint),
    };
    Some(Reason::TablesLeftOut.problem(format!("not carried, though the patterns match: {told}{rest}"), hint))
}

/// Tables that were carried and are no more.
pub fn tables_left(tables: &[String]) -> Option<Problem> {
    (!tables.is_empty()).then(|| {
        Reason::TablesLeft.problem(
            format!("carried no more, the topics stay as they are: {}", tables.join("; ")),
            "nothing, if that is meant. What was changed last and not carried yet when a table was dropped is not in its \
             topic; one that is to be carried again begins anew",
        )
    })
}

/// Tables that were carried once, left, and are carried again.
pub fn tables_returned(tables: &[String], snapshot: bool) -> Option<Problem> {
    let what = if snapshot { "all rows are sent again" } else { "only changes from now on are sent" };
    (!tables.is_empty()).then(|| {
        Reason::TablesReturned.problem(
            format!("carried again into the topics that hold their former rows, {what}: {}", tables.join(", ")),
            "rows that were deleted, or changed their key, in the meantime may still stand in the topics: that can no longer \
             be told",
        )
    })
}

/// The topic that was begun with is gone, and there is another one of its name.
pub fn topic_replaced(topic: &str) -> Problem {
    Reason::TopicReplaced.problem(
        format!("topic {topic} was deleted and made again: what the Sink had sent is not in it"),
        "give the Sink a new name to start afresh, with all rows again; the topic may bear its name then, if it is empty",
    )
}

/// What the record has to tell of the tables has no room in one message.
pub fn record_too_large(context: &SinkContext, bytes: usize, refused: &Problem) -> Problem {
    Reason::MessageTooLarge.problem(
        format!(
            "{}; it is the progress record of the Sink, which tells of {} and has {bytes} bytes",
            refused.message,
            context.plan.table_in_words()
        ),
        "raise message.max.bytes in spec.config of the KafkaConnection, and max.message.bytes of the progress topic; or divide \
         the patterns among several Sinks",
    )
}

/// A broker that has just become the leader may not know yet how far its predecessor had come.
pub fn record_too_old(context: &SinkContext) -> Problem {
    Reason::ProgressUndecided.problem(
        format!(
            "topic {} shows an older record of the Sink than the one that was committed last",
            context.plan.kafka.progress_topic
        ),
        "nothing, if it passes (it is read again by itself); else the topic was set back to an older state",
    )
}

/// The source's log ended before what is committed, and does so no more: it has grown, with other changes.
pub fn set_back(before: &Problem) -> Problem {
    Reason::ProgressBeyondSource.problem(
        format!("{} (when this was first looked at; the log has grown past it since, with other changes)", before.message),
        "the database was set back (a restored disk or backup): give the Sink a new name and topic to start afresh. If only \
         the address led to another server for a while, start anew",
    )
}

/// The Sink has begun, and there is no record of it.
pub fn progress_missing(context: &SinkContext) -> Problem {
    let kafka = &context.plan.kafka;
    Reason::ProgressMissing.problem(
        format!(
            "the Sink has committed before, but topic {} holds no record under key {}",
            kafka.progress_topic, kafka.progress_key
        ),
        "the progress topic was emptied or made anew: restore it, or give the Sink a new name and topic to start afresh",
    )
}

/// A defect: the thread goes on with a new life, as after anything else.
pub fn out_of_order(context: &SinkContext) -> Problem {
    Reason::TransactionFailed.problem(
        format!("the protocol of Sink {} was told something out of order", context.plan.name),
        "this is a defect, please report it; nothing is lost, the Sink goes on from what is committed",
    )
}

/// All rows went at once.
pub fn truncated(table: &TableName, change: &Change) -> Problem {
    Reason::SourceTruncated.problem(
        format!("table {table} was truncated at {}", change.id.commit),
        "a topic cannot say which rows are gone: give the Sink a new name and topic to start afresh, or go on with \
         spec.onTruncate: Ignore and let them stay in the topic",
    )
}

/// A change of then has a type that there is none of now.
pub fn types_gone(table: &TableName) -> Problem {
    Reason::SchemaChanged.problem(
        format!("a column of table {table} had a type at this place of the log that was dropped since"),
        "the Sink cannot tell how its values were written: give it a new name and topic",
    )
}

/// What is replayed is not what was committed.
pub fn replay_differs(id: ChangeId) -> Problem {
    Reason::ReplayDiffers.problem(
        format!(
            "the source transaction at {} was committed up to change {}, but its replay does not show that change",
            id.commit, id.ordinal
        ),
        "the publication or the slot was changed meanwhile: give the Sink a new name and topic to start afresh",
    )
}

/// The source does not feed the Sink any more, and does not say why.
pub fn source_gone() -> Problem {
    unreachable("the replication session ended")
}

/// The snapshot has more rows than a transaction can take, by the planner's estimate.
pub fn snapshot_too_long(context: &SinkContext, rows: u64, timeout_ms: u64) -> Problem {
    Reason::SnapshotTooLong.problem(
        format!(
            "table {} has about {rows} rows, which cannot be sent within the broker's longest transaction ({} s)",
            context.plan.table_in_words(),
            timeout_ms / 1_000
        ),
        "raise the broker's transaction.max.timeout.ms, or set snapshot: false",
    )
}

/// The broker has ended the Sink's own transaction for its age.
pub fn timed_out(context: &SinkContext, timeout_ms: u64, snapshot: bool) -> Problem {
    let table = context.plan.table_in_words();
    let seconds = timeout_ms / 1_000;
    if snapshot {
        return Reason::SnapshotTooLong.problem(
            format!("the snapshot of table {table} was not sent within the broker's longest transaction ({seconds} s)"),
            "raise the broker's transaction.max.timeout.ms, or set snapshot: false",
        );
    }
    Reason::TransactionFailed.problem(
        format!(
            "a transaction with changes of table {table} was not committed within {seconds} s, so the broker ended it"
        ),
        "nothing is lost, it is sent again by itself; see whether the brokers are overloaded, or raise \
         spec.kafka.commit.timeout",
    )
}

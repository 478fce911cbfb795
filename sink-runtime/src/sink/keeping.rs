//! The columns that a Sink keeps of its tables (`schemaChanges: Freeze`): which they are when a life begins, and how the batches
//! of its stream are brought to them.
//!
//! The progress record tells them with the first message of a table. Until then a life finds them out, see
//! `docs/design/0010-life-of-a-sink.md`.

use std::sync::Arc;

use afterbay_crds::plan::{SchemaChanges, SinkPlan, TableName};
use afterbay_crds::report::Problem;
use afterbay_formats::table::TableDescription;

use super::carried::Carried;
use super::{SinkContext, problems};
use crate::change::{Picks, Shape};
use crate::kept_columns::KeptColumns;
use crate::protocol::KeptColumn;

/// What a record tells of the columns of a table, or nothing.
type Recorded = Option<Arc<[KeptColumn]>>;

/// Whether a Sink keeps columns.
pub fn freezes(plan: &SinkPlan) -> bool {
    plan.schema_changes == SchemaChanges::Freeze
}

/// A table that a Sink goes on with, with the columns that it keeps as they were when that began: what comes first may be of
/// then.
pub fn goes_on(
    context: &SinkContext,
    name: &TableName,
    table: TableDescription,
    columns: Recorded,
) -> Result<(TableDescription, Option<KeptColumns>), Problem> {
    let Some(columns) = columns else { return Ok((table, None)) };
    let kept = KeptColumns::new(columns, &table);
    let now = kept.of(table);
    if kept.are_in(&now) {
        return Ok((now, Some(kept)));
    }
    let then = context.source.describe_then(&now, &kept.shape(&now))?;
    Ok((then.ok_or_else(|| problems::types_gone(name))?, Some(kept)))
}

/// A table that a Sink begins with, or begins anew: all its rows come as they are now, and what is kept must be among them.
pub fn begins(
    name: &TableName,
    table: TableDescription,
    columns: Recorded,
) -> Result<(TableDescription, Option<KeptColumns>), Problem> {
    let Some(columns) = columns else { return Ok((table, None)) };
    let kept = KeptColumns::new(columns, &table);
    match kept.against(name, &Shape::of(&table)) {
        Some(problem) => Err(problem),
        None => Ok((kept.of(table), Some(kept))),
    }
}

/// What relations keep, for batches of the stream.
pub struct Keeping<'l, 'a> {
    /// The relations.
    pub relations: &'l mut [Option<Carried<'a>>],
    /// Those whose rows are meant; none: all.
    pub only: Option<&'l [usize]>,
}

impl Keeping<'_, '_> {
    fn is_meant(&self, relation: usize) -> bool {
        self.only.is_none_or(|only| only.contains(&relation))
    }
}

impl Picks for Keeping<'_, '_> {
    fn shaped(&mut self, relation: usize, shape: &Arc<Shape>) -> Arc<Shape> {
        let is_meant = self.is_meant(relation);
        let carried = self.relations.get_mut(relation).and_then(Option::as_mut).filter(|_| is_meant);
        match carried.and_then(|carried| carried.kept.as_mut()) {
            Some(kept) => kept.follow(shape),
            None => Arc::clone(shape),
        }
    }

    fn places(&self, relation: usize) -> Option<&[usize]> {
        let carried = self.relations.get(relation)?.as_ref().filter(|_| self.is_meant(relation))?;
        carried.kept.as_ref()?.places()
    }
}

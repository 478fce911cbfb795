//! A relation as a Sink carries it: its columns, its encoders, its schemas in the registry.

use afterbay_clients::registry::RegistryClient;
use afterbay_crds::plan::{FormatPlan, RelationPlan};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::documentation::Comments;
use afterbay_formats::encoders::Encoders;
use afterbay_formats::fitness::Fit;
use afterbay_formats::headers::HeadersPlan;
use afterbay_formats::table::TableDescription;
use afterbay_queries::HashExpression;
use afterbay_queries::carried::{self, Carried, Projection};

use super::SinkContext;
use crate::change::Shape;
use crate::protocol::SchemaIds;

/// Encoders whose schemas are registered.
pub struct Encoded {
    /// The encoders.
    pub encoders: Encoders,
    /// Their schemas.
    pub ids: SchemaIds,
    /// The subjects whose compatibility level is another than the one that was asked for, in words.
    pub differing: Vec<String>,
}

/// What a Sink knows of its relation.
pub struct SinkRelation {
    /// As the catalogue has it.
    pub table: TableDescription,
    /// As messages are made of it. A column may be nullable though the catalogue says otherwise: an older row held a NULL.
    pub fit: Fit,
    /// What the database says of what messages are made of.
    comments: Comments,
    /// What makes the rows; none: they are those of the table.
    pub projection: Option<Projection>,
    /// What chooses the partition.
    pub partition_by: Option<HashExpression>,
}

impl SinkRelation {
    /// The relation, if it is fit for the Sink.
    pub fn new(plan: &RelationPlan, table: TableDescription) -> Result<Self, Problem> {
        let Carried { fit, comments, projection, partition_by } = carried::check(&table, plan).map_err(|problems| {
            problems.into_iter().next().unwrap_or_else(|| {
                Reason::TableUnfit.problem(format!("table {} cannot be carried", plan.table), "see the log")
            })
        })?;
        Ok(Self { table, fit, comments, projection, partition_by })
    }

    /// How many columns the table's rows have.
    pub fn width(&self) -> usize {
        self.table.streamed_columns().count()
    }

    /// The columns of the key that are columns of the table as they are: where they stand in its rows, and their names.
    pub fn key_in_rows(&self) -> impl Iterator<Item = (usize, String)> {
        self.fit.key.iter().filter_map(|&column| {
            let place = match &self.projection {
                Some(projection) => projection.rows.column_origin(column)?,
                None => column,
            };
            Some((place, self.column(column)))
        })
    }

    /// Whether the stream describes the same columns and the same replica identity.
    pub fn is(&self, shape: &Shape) -> bool {
        is(&self.table, shape)
    }

    /// The name of a column.
    pub fn column(&self, index: usize) -> String {
        self.fit.relation.columns.get(index).map_or_else(|| format!("#{index}"), |column| column.name.clone())
    }

    /// Tells a column as nullable from now on; false if it is that already, or belongs to the key, which never holds a
    /// NULL: there it is one that means that the value is not known.
    pub fn widen(&mut self, column: usize) -> bool {
        if self.fit.key.contains(&column) {
            return false;
        }
        let column = self.fit.relation.columns.get_mut(column);
        column.is_some_and(|column| !std::mem::replace(&mut column.nullable, true))
    }

    /// How the headers of its rows are read, if there are any.
    pub fn headers(&self, name_prefix: &str) -> Option<HeadersPlan> {
        self.fit.headers.and_then(|column| HeadersPlan::compile(&self.fit.relation, column, name_prefix))
    }

    /// Encoders for messages of this relation, their schemas registered.
    pub fn encoders(&self, context: &SinkContext, plan: &RelationPlan) -> Result<Encoded, Problem> {
        let encoders = self.fit.encoders(&self.comments, plan, &context.plan.kafka.name_prefix);
        let mut encoders = encoders.map_err(|error| error.problem(plan))?;
        let (ids, differing) = context.runtime.block_on(register(plan, &mut encoders))?;
        Ok(Encoded { encoders, ids, differing })
    }
}

/// Whether the stream describes the same columns and the same replica identity as the catalogue.
pub fn is(table: &TableDescription, shape: &Shape) -> bool {
    table.streamed_columns().count() == shape.columns.len()
        && table.streamed_columns().zip(&shape.columns).all(|(column, streamed)| {
            column.name == streamed.name
                && column.type_oid == streamed.type_oid
                && column.typmod == streamed.type_modifier
                && table.is_identity(&column.name) == streamed.key
        })
}

/// Registers the schemas, the key's first, under the subjects `<topic>-key` and `<topic>-value`.
async fn register(plan: &RelationPlan, encoders: &mut Encoders) -> Result<(SchemaIds, Vec<String>), Problem> {
    let mut ids = SchemaIds::default();
    let mut differing = Vec::new();
    if let (Some(key), Some(format)) = (&mut encoders.key, &plan.key_format)
        && let Some(schema) = key.schema()
    {
        let id = register_one(plan, "key", format, schema, &mut differing).await?;
        key.set_schema_id(id);
        ids.key = Some(id);
    }
    if let Some(schema) = encoders.value.schema() {
        let id = register_one(plan, "value", &plan.value_format, schema, &mut differing).await?;
        encoders.value.set_schema_id(id);
        ids.value = Some(id);
    }
    Ok((ids, differing))
}

async fn register_one(
    plan: &RelationPlan,
    part: &str,
    format: &FormatPlan,
    schema: &str,
    differing: &mut Vec<String>,
) -> Result<u32, Problem> {
    let Some(avro) = format.avro() else {
        return Err(Reason::RegistryFailed.problem("a schema without a registry", "this is a defect, please report it"));
    };
    let client = RegistryClient::new(&avro.registry).map_err(|error| error.problem())?;
    let subject = format!("{}-{part}", plan.topic);
    // Before the schema: it is to be judged by the level that is asked for.
    if let Some(wanted) = avro.compatibility_level {
        let other = client.compatibility(&subject, wanted).await.map_err(|error| error.problem())?;
        differing.extend(other.map(|level| {
            format!("subject \"{subject}\" has the compatibility level {level} and not {}", wanted.as_str())
        }));
    }
    client.register(&subject, schema).await.map_err(|error| error.problem())
}

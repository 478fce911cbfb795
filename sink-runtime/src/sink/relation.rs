//! A relation as a Sink carries it: its columns, its encoders, its schemas in the registry.

use afterbay_clients::registry::RegistryClient;
use afterbay_crds::plan::{FormatPlan, SinkPlan};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_formats::encoders::{Encoders, Format, MessageSpec};
use afterbay_formats::fitness;
use afterbay_formats::relation::{Column, Relation};
use afterbay_formats::table::TableDescription;

use crate::change::Shape;
use crate::protocol::SchemaIds;

/// What a Sink knows of its relation.
pub struct SinkRelation {
    /// As the catalogue has it.
    pub table: TableDescription,
    /// Columns of the key, in its order.
    pub key: Vec<usize>,
    /// Columns that are told as nullable though the catalogue says otherwise: an older row held a NULL.
    nullable: Vec<bool>,
}

impl SinkRelation {
    /// The relation, if it is fit for the Sink.
    pub fn new(plan: &SinkPlan, table: TableDescription) -> Result<Self, Problem> {
        let fit = fitness::check(&table, &plan.key_columns, plan.envelope).map_err(|problems| {
            problems.into_iter().next().unwrap_or_else(|| {
                Reason::TableUnfit.problem(format!("table {} cannot be carried", plan.table), "see the log")
            })
        })?;
        let nullable = vec![false; table.streamed_columns().count()];
        Ok(Self { table, key: fit.key, nullable })
    }

    /// How many columns its rows have.
    pub fn width(&self) -> usize {
        self.nullable.len()
    }

    /// Whether the stream describes the same columns and the same replica identity.
    pub fn is(&self, shape: &Shape) -> bool {
        is(&self.table, shape)
    }

    /// The name of a column.
    pub fn column(&self, index: usize) -> String {
        self.table.streamed_columns().nth(index).map_or_else(|| format!("#{index}"), |column| column.name.clone())
    }

    /// Tells a column as nullable from now on; false if it is that already, or belongs to the key, which never holds a
    /// NULL: there it is one that means that the value is not known.
    pub fn widen(&mut self, column: usize) -> bool {
        if self.key.contains(&column) {
            return false;
        }
        self.nullable.get_mut(column).is_some_and(|nullable| !std::mem::replace(nullable, true))
    }

    /// Encoders for messages of this relation, their schemas registered.
    pub fn encoders(
        &self,
        plan: &SinkPlan,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Encoders, SchemaIds), Problem> {
        let columns = self
            .table
            .streamed_columns()
            .zip(&self.nullable)
            .map(|(column, widened)| Column {
                name: column.name.clone(),
                sql_type: column.sql_type.clone(),
                nullable: *widened || !column.not_null,
            })
            .collect();
        let relation = Relation { schema: self.table.schema.clone(), name: self.table.name.clone(), columns };
        let spec = MessageSpec {
            relation: &relation,
            key: (!self.key.is_empty()).then_some(self.key.as_slice()),
            envelope: plan.envelope,
            format: match plan.format {
                FormatPlan::Json => Format::Json,
                FormatPlan::Avro { .. } => Format::Avro,
            },
            name_prefix: &plan.kafka.name_prefix,
        };
        let mut encoders = Encoders::compile(&spec).map_err(|error| {
            Reason::TableUnfit.problem(
                format!("table {} has no form in this format: {error}", plan.table),
                "change the column, or leave the table out",
            )
        })?;
        let ids = match &plan.format {
            FormatPlan::Json => SchemaIds::default(),
            FormatPlan::Avro { registry } => {
                let client = RegistryClient::new(registry).map_err(|error| error.problem())?;
                runtime.block_on(register(&client, &plan.kafka.topic, &mut encoders))?
            }
        };
        Ok((encoders, ids))
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
async fn register(client: &RegistryClient, topic: &str, encoders: &mut Encoders) -> Result<SchemaIds, Problem> {
    let mut ids = SchemaIds::default();
    if let Some(key) = &mut encoders.key
        && let Some(schema) = key.schema()
    {
        let id = client.register(&format!("{topic}-key"), schema).await.map_err(|error| error.problem())?;
        key.set_schema_id(id);
        ids.key = Some(id);
    }
    if let Some(schema) = encoders.value.schema() {
        let id = client.register(&format!("{topic}-value"), schema).await.map_err(|error| error.problem())?;
        encoders.value.set_schema_id(id);
        ids.value = Some(id);
    }
    Ok(ids)
}

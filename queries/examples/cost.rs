//! What a row costs: `cargo run --release -p afterbay-queries --example cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use afterbay_formats::relation::{Column, Relation, SqlType};
use afterbay_formats::row::Row;
use afterbay_queries::{Evaluated, HashExpression, Query, QueryError, Scope};

struct Order([Option<String>; 5]);

impl Row for &Order {
    fn cell(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_ref().map(String::as_bytes)
    }
}

fn main() -> Result<(), QueryError> {
    let numeric = SqlType::Numeric { typmod: Some((12, 2)) };
    let columns = vec![
        Column::not_null("id", SqlType::Int8),
        Column::nullable("name", SqlType::Text),
        Column::nullable("amount", numeric),
        Column::nullable("at", SqlType::Timestamptz { precision: None }),
        Column::nullable("country", SqlType::Text),
    ];
    let relation = Relation { schema: "public".to_owned(), name: "orders".to_owned(), columns };
    let order = |id: usize| {
        Order([
            Some(id.to_string()),
            Some(format!("customer {}", id % 100)),
            Some(format!("{}.{:02}", id % 1_000, id % 100)),
            Some(format!("2024-01-02 03:04:{:02}.678+00", id % 60)),
            Some(["de", "fr", "it"][id % 3].to_owned()),
        ])
    };
    let orders: Vec<Order> = (1..=1_000).map(order).collect();
    for size in [1_000, 100, 10, 1] {
        let rows: Vec<&Order> = orders.iter().take(size).collect();
        println!("batches of {size}");
        for sql in [
            "id",
            "id % 16",
            "kafka_murmur2(name)",
            "kafka_murmur2(name || country)",
            "seahash(id::text)",
            "case when country = 'de' then 1 else crc32(name) end",
            "amount * 100",
            "extract(hour from at)",
        ] {
            let expression = HashExpression::compile(sql, &relation, Scope::AllColumns)?;
            let mut hashes = Vec::new();
            report(sql, size, || {
                expression.hashes(&rows, &mut hashes);
                black_box(&hashes);
            });
        }
        for sql in [
            "SELECT * FROM orders",
            "SELECT * FROM orders WHERE id > 500",
            "SELECT id, name FROM orders WHERE country = 'de' AND amount > 10",
            "SELECT id, upper(name) AS name, amount * 2 AS twice FROM orders WHERE id > 500",
            "SELECT id, at + interval '1 day' AS next FROM orders",
        ] {
            let query = Query::parse(sql)?.compile(&relation, &[])?;
            let mut evaluated = Evaluated::default();
            report(sql, size, || {
                query.evaluate(&rows, &mut evaluated);
                black_box(&evaluated);
            });
        }
    }
    Ok(())
}

/// The best of some tries, per row.
fn report(what: &str, rows: usize, mut run: impl FnMut()) {
    let repeat = (20_000 / rows).max(20);
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let begin = Instant::now();
        for _ in 0..repeat {
            run();
        }
        best = best.min(begin.elapsed());
    }
    let nanos = best.as_nanos() as f64 / (repeat * rows) as f64;
    println!("  {nanos:8.1} ns a row  {what}");
}

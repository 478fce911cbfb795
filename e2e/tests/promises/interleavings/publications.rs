//! Publications that do not hold all of a table. They are of Postgres 15 and newer.

use afterbay_e2e::{Scenario, Sink};
use serde_json::json;

use crate::one_table::TABLE;
use crate::telling::run_tells;

#[tokio::test]
async fn case_11_a_publication_of_a_part_of_the_table_is_refused() {
    let scenario = Scenario::new("parts").await;
    let database = &scenario.database;
    database.run(TABLE).await;
    let sink = Sink::new("t", "public.t", &scenario.topic("t")).key(&["id"]);
    let manifests = scenario.manifests().with(sink);
    for (name, part) in [("columns", "t (id)"), ("rows", "t WHERE (id > 0)")] {
        let options = "WITH (publish_via_partition_root = true)";
        database.run(&format!("CREATE PUBLICATION {name} FOR TABLE {part} {options}")).await;
        let own = json!({"name": name, "managed": false});
        let manifests = manifests.clone().set("SourceConnector/shop", "spec.postgres.publication", own);
        run_tells(&scenario, &manifests, "PublicationIncomplete", &["only some columns or rows of table public.t"])
            .await;
    }
}

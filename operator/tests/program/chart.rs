//! What the chart says of the programs.

use std::collections::BTreeSet;
use std::path::Path;

use super::afterbay;

fn text(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The chart brings the definitions, so that they are upgraded with it.
#[test]
fn it_has_the_definitions_of_this_version() {
    let file = "charts/afterbay/files/crds.yaml";
    assert!(text(file) == afterbay(&["crds"]).out, "{file} is not what `afterbay crds` prints: run make manifests");
}

#[test]
fn it_is_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = text("charts/afterbay/Chart.yaml");
    for line in [format!("version: {version}"), format!("appVersion: {version}")] {
        assert!(chart.lines().any(|found| found == line), "{line} is not in Chart.yaml");
    }
}

/// Names of metrics: words that begin with the product's name.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("afterbay_sink_") || word.starts_with("afterbay_operator_")).collect()
}

#[test]
fn alarms_and_dashboard_name_metrics_that_there_are() {
    let documented = text("docs/operations.md") + &text("docs/kubernetes.md");
    let documented = metrics(&documented);
    let mut seen = 0;
    for file in ["charts/afterbay/templates/prometheusrule.yaml", "charts/afterbay/files/dashboard.json"] {
        let used = text(file);
        for metric in metrics(&used) {
            let is_known = documented.contains(metric.strip_suffix("_bucket").unwrap_or(metric));
            assert!(is_known, "{file}: {metric} is in no table of the documentation");
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
}

#[test]
fn the_dashboard_is_json() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("charts/afterbay/files/dashboard.json")).expect("it is JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 10));
}

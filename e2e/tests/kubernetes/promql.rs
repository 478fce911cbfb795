//! What alarms and dashboard ask Prometheus, as PromQL has it, held against what operator and workers tell: metrics, their labels, and
//! the values of these.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use afterbay_e2e::kubernetes::{OPERATOR, Operated, labels};
use promql_parser::label::Matcher;
use promql_parser::parser::{Expr, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::{Value, json};

use crate::chart::rendered;

/// What is told only once it has happened: a look that failed.
const SELDOM: [(&str, &str); 1] = [("result", "error")];

/// Of each metric its labels, and of each of them the values.
#[derive(Default)]
struct Told(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Told {
    /// Out of pages of metrics, whose series are written as they are asked for.
    fn read(&mut self, page: &str) {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').map(|(series, _)| parse(series));
            let Some(Ok(Expr::VectorSelector(series))) = series else { panic!("no series: {line}") };
            let labels = self.0.entry(series.name.expect("a series has a name")).or_default();
            for label in series.matchers.matchers {
                labels.entry(label.name).or_default().insert(label.value);
            }
        }
    }

    /// What is wrong with a question, and which labels the answers to it have.
    fn ask(&self, question: &str) -> Result<BTreeSet<String>, String> {
        let question = question.replace("$__rate_interval", "5m").replace("$sink", ".*");
        let question = parse(&question).map_err(|error| format!("{error}: {question}"))?;
        let mut parts = Parts::default();
        let Ok(_) = walk_expr(&mut parts, &question);
        let mut all = BTreeSet::new();
        for selector in &parts.selectors {
            let name = selector.name.as_deref().unwrap_or_default();
            let labels = self.0.get(name).ok_or_else(|| format!("nobody tells {name:?}"))?;
            for label in &selector.matchers.matchers {
                let values = labels.get(&label.name).ok_or_else(|| format!("{name} has no label {}", label.name))?;
                if !is_told(label, values) {
                    return Err(format!("{name} has no {label}, but {values:?}"));
                }
            }
            if let Some(unknown) = parts.grouped.iter().find(|label| !labels.contains_key(*label)) {
                return Err(format!("{name} has no label {unknown}"));
            }
            all.extend(labels.keys().cloned());
        }
        if parts.is_grouped { Ok(parts.grouped) } else { Ok(all) }
    }
}

fn is_told(label: &Matcher, values: &BTreeSet<String>) -> bool {
    values.iter().any(|value| label.is_match(value)) || SELDOM.contains(&(label.name.as_str(), label.value.as_str()))
}

/// What an expression is made of.
#[derive(Default)]
struct Parts {
    selectors: Vec<VectorSelector>,
    is_grouped: bool,
    grouped: BTreeSet<String>,
}

impl ExprVisitor for Parts {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.selectors.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.selectors.push(matrix.vs.clone()),
            Expr::Aggregate(aggregate) => {
                self.is_grouped = true;
                let by = aggregate.modifier.iter().flat_map(|modifier| &modifier.labels().labels);
                self.grouped.extend(by.cloned());
            }
            _ => {}
        }
        Ok(true)
    }
}

/// A question, and the labels that what is made of its answers names.
struct Question {
    asks: String,
    shows: Vec<String>,
}

/// Words that stand in a text between these.
fn between(text: &str, before: &str, after: char) -> Vec<String> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).map(|word| word.trim().to_owned()).collect()
}

fn alarms(rule: &Value) -> Vec<Question> {
    let rules = rule["spec"]["groups"].as_array().into_iter().flatten().filter_map(|group| group["rules"].as_array());
    let question = |rule: &Value| Question {
        asks: rule["expr"].as_str().expect("an alarm asks something").to_owned(),
        shows: between(&rule["annotations"].to_string(), "$labels.", ' '),
    };
    rules.flatten().map(question).collect()
}

fn panels(dashboard: &Value) -> Vec<Question> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let question = |target: &Value| Question {
        asks: target["expr"].as_str().expect("a panel asks something").to_owned(),
        shows: between(target["legendFormat"].as_str().unwrap_or_default(), "{{", '}'),
    };
    let mut questions: Vec<_> = targets.map(question).collect();
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let Some(definition) = variable["definition"].as_str() else { continue };
        // Grafana's own: label_values(metric, label).
        let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inner.and_then(|inner| inner.split_once(", ")).expect("values of a label");
        questions.push(Question { asks: metric.to_owned(), shows: vec![label.to_owned()] });
    }
    questions
}

/// Holds both against the operator, and the worker of `shop`.
pub async fn check(operated: &Operated) {
    let mut told = Told::default();
    for pods in [OPERATOR, &labels("shop")] {
        operated.namespace.ready_pod(pods).await;
        told.read(&operated.namespace.metrics(pods).await.expect("it answers"));
    }
    let values =
        json!({"crds": {"enabled": false}, "prometheusRule": {"enabled": true}, "dashboard": {"enabled": true}});
    let documents = rendered(&operated.namespace.name, &values).await;
    let alarms = documents.iter().filter(|document| document["kind"] == "PrometheusRule").flat_map(alarms);
    let dashboards = documents.iter().filter_map(|document| document["data"]["afterbay.json"].as_str());
    let panels = dashboards.flat_map(|text| panels(&serde_json::from_str(text).expect("the dashboard is JSON")));
    let (alarms, panels): (Vec<_>, Vec<_>) = (alarms.collect(), panels.collect());
    assert!(alarms.len() >= 9 && panels.len() >= 15, "{} alarms, {} panels", alarms.len(), panels.len());
    for Question { asks, shows } in alarms.iter().chain(&panels) {
        let labels = told.ask(asks).unwrap_or_else(|wrong| panic!("{asks}: {wrong}"));
        let unknown = shows.iter().find(|label| !labels.contains(*label));
        assert!(unknown.is_none(), "{asks}: its answers have no label {unknown:?}, but {labels:?}");
    }
}

#[test]
fn slips_are_found() {
    let mut told = Told::default();
    told.read(
        "# HELP a_state what it is in\na_state{sink=\"x\",state=\"running\"} 1\na_total{sink=\"x\",result=\"ok\"} 2",
    );
    for (question, answer) in [
        ("max by (sink) (a_state{state=\"running\", sink=~\"$sink\"}) == 1", Ok(vec!["sink"])),
        ("rate(a_total{result=\"error\"}[$__rate_interval]) > 0", Ok(vec!["result", "sink"])),
        ("sum(a_state) or vector(0)", Ok(vec![])),
        ("sum(a_state", Err("")),
        ("rate(a_total)", Err("")),
        ("increase_(a_total[5m])", Err("")),
        ("a_stat == 1", Err("nobody tells \"a_stat\"")),
        ("a_state{stat=\"running\"}", Err("a_state has no label stat")),
        ("a_state{state=\"runing\"}", Err("a_state has no state=\"runing\", but {\"running\"}")),
        ("sum by (source) (rate(a_total[5m]))", Err("a_total has no label source")),
    ] {
        match (told.ask(question), answer) {
            (Ok(labels), Ok(expected)) => assert!(labels.iter().eq(&expected), "{question}: {labels:?}"),
            (Err(wrong), Err(expected)) => assert!(wrong.contains(expected), "{question}: {wrong}"),
            (found, expected) => panic!("{question}: {found:?} instead of {expected:?}"),
        }
    }
}

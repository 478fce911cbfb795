//! The rules of the definitions, against a real API server: each refuses what it is for, in words that help, and lets
//! through what comes near it.

mod cases;
mod changes;

use std::collections::BTreeMap;

use afterbay_crds::api::all_crds;
use afterbay_e2e::Namespace;
use afterbay_e2e::kubernetes::definitions;
use afterbay_e2e::scenario::unique;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use cases::{CHANGES, Case, Change, INPUTS, base};
use changes::changed;

/// What an API server has against an object: field and words.
type Complaints = Vec<(String, String)>;

struct Server {
    namespace: Namespace,
}

impl Server {
    async fn new(name: &str) -> Self {
        definitions().await;
        Self { namespace: Namespace::create(&unique(name)).await }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("afterbay.dev", "v1alpha1", kind));
        Api::namespaced_with(self.namespace.client.clone(), &self.namespace.name, &resource)
    }

    /// Whether it would take an object, new, or in the place of one that is there.
    async fn judges(&self, kind: &str, object: &Value) -> Result<(), Complaints> {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let is_there = object["metadata"].get("resourceVersion").is_some();
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        let api = self.api(kind);
        let judged = if is_there {
            api.replace(&name, &parameters, &object).await
        } else {
            api.create(&parameters, &object).await
        };
        match judged {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                Err(causes.map(|cause| (cause.field.clone(), cause.message.clone())).collect())
            }
            Err(error) => panic!("{kind}: {error}"),
        }
    }

    /// Makes an object, with what its status says of whether it has begun.
    async fn made(&self, kind: &str, object: &Value, begun: bool) -> Value {
        let api = self.api(kind);
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let status = match kind {
            "Sink" | "SourceConnector" => json!({"status": {"begun": begun, "conditions": []}}),
            _ => json!({"status": {"conditions": []}}),
        };
        let made = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
        serde_json::to_value(made.unwrap_or_else(|error| panic!("{kind}: {error}"))).expect("an object is JSON")
    }

    async fn remove(&self, kind: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        self.api(kind).delete(name, &DeleteParams::default()).await.expect("it is there");
    }
}

/// One complaint says these words of this field, whatever else is complained of.
fn assert_says(judged: Result<(), Complaints>, at: &str, says: &str, what: &str) {
    let Err(complaints) = judged else { panic!("it is taken, though \"{says}\": {what}") };
    let is_it = |(field, message): &(String, String)| {
        // Of a rule for a whole object the field is told as nothing.
        let field = field.replace("[0]", "[]").replace("<nil>", "");
        field == at && message.contains(says)
    };
    assert!(complaints.iter().any(is_it), "nobody says \"{says}\" of {at}: {complaints:?}: {what}");
}

#[tokio::test]
async fn each_rule_refuses_what_it_is_for_and_takes_what_comes_near() {
    let server = Server::new("rules").await;
    for Case { kind, at, says, refused, taken } in INPUTS {
        let object = changed(&base(kind), refused);
        assert_says(server.judges(kind, &object).await, at, says, refused);
        let judged = server.judges(kind, &changed(&base(kind), taken)).await;
        assert_eq!(judged, Ok(()), "{kind} {at}: {says}: {taken}");
    }
}

#[tokio::test]
async fn what_a_begun_sink_rests_on_cannot_change() {
    let server = Server::new("changes").await;
    for Change { kind, at, says, first, refused, taken, from_the_start } in CHANGES {
        let first = changed(&base(kind), first);
        let object = server.made(kind, &first, true).await;
        assert_says(server.judges(kind, &changed(&object, refused)).await, at, says, refused);
        assert_eq!(server.judges(kind, &changed(&object, taken)).await, Ok(()), "{kind} {says}: {taken}");
        server.remove(kind, &object).await;
        if *from_the_start {
            continue;
        }
        let object = server.made(kind, &first, false).await;
        let judged = server.judges(kind, &changed(&object, refused)).await;
        assert_eq!(judged, Ok(()), "{kind} {says}: before it has begun: {refused}");
        server.remove(kind, &object).await;
    }
}

#[test]
fn every_rule_has_a_case() {
    let mut without = Vec::new();
    for (kind, rules) in rules() {
        for rule in &rules {
            let is_it = |of: &str, at: &str, says: &str| of == kind && at == rule.told_at && rule.says.contains(says);
            let has_case = INPUTS.iter().any(|case| is_it(case.kind, case.at, case.says))
                || CHANGES.iter().any(|case| is_it(case.kind, case.at, case.says));
            if !has_case {
                without.push(format!("{kind} {}: {}", rule.told_at, rule.says));
            }
        }
    }
    assert!(without.is_empty(), "no case for:\n{}", without.join("\n"));
}

/// A rule: where it is told, and its words.
struct Rule {
    told_at: String,
    says: String,
}

/// The rules of each kind.
fn rules() -> BTreeMap<String, Vec<Rule>> {
    let of = |crd: CustomResourceDefinition| {
        let schema = crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        let mut found = Vec::new();
        rules_of(&schema.expect("a schema"), "", &mut found);
        (crd.spec.names.kind, found)
    };
    all_crds().into_iter().map(of).collect()
}

fn rules_of(schema: &JSONSchemaProps, at: &str, found: &mut Vec<Rule>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let told_at = format!("{at}{}", rule.field_path.as_deref().unwrap_or_default());
        let says = rule.message.clone().expect("every rule has a message");
        found.push(Rule { told_at: told_at.trim_start_matches('.').to_owned(), says });
    }
    for (name, property) in schema.properties.iter().flatten() {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        rules_of(property, &at, found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
        rules_of(each, &format!("{at}[]"), found);
    }
}

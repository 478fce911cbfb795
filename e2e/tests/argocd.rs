//! Argo CD's health check: it says of each state of each kind what it should, in a plain Lua, and the settings hold it.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use afterbay_crds::api::all_crds;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/argocd")
}

#[test]
fn it_tells_every_state_of_each_kind() {
    let ran = Command::new("lua5.4").arg(folder().join("tests/run.lua")).arg(folder()).output();
    let ran = ran.expect("lua5.4 can be started: e2e/rig/install.sh installs it");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains(" cases, 0 failed"), "{said}");
}

#[test]
fn the_settings_hold_it_for_each_kind() {
    let text = std::fs::read_to_string(folder().join("argocd-cm.yaml")).expect("the settings are there");
    let settings: serde_json::Value = serde_yaml::from_str(&text).expect("they are YAML");
    let held: BTreeMap<String, String> =
        serde_json::from_value(settings["data"].clone()).expect("they are words by name");
    let check = std::fs::read_to_string(folder().join("health.lua")).expect("the check is there");
    let setting = |kind: &str| format!("resource.customizations.health.afterbay.dev_{kind}");
    let wanted: BTreeMap<_, _> =
        all_crds().into_iter().map(|crd| (setting(&crd.spec.names.kind), check.clone())).collect();
    assert!(held == wanted, "deploy/argocd/argocd-cm.yaml does not hold the check as it is: run make manifests");
}

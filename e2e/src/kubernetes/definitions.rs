//! The definitions of the four kinds, which are the whole cluster's.

use std::time::Duration;

use afterbay_crds::api::{all_crds, crds_as_yaml};
use tokio::sync::OnceCell;

use super::Kubectl;

/// Brings the definitions, as they are now, into the cluster, once for all tests of a program. Releases of tests that run
/// side by side cannot each own them: they are installed with `crds.enabled: false`.
pub async fn definitions() {
    static APPLIED: OnceCell<()> = OnceCell::const_new();
    APPLIED
        .get_or_init(async || {
            let kubectl = Kubectl::new("default");
            kubectl.apply(&crds_as_yaml().expect("the definitions are YAML")).await;
            let names: Vec<_> =
                all_crds().into_iter().filter_map(|crd| Some(format!("crd/{}", crd.metadata.name?))).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let deadline = format!("--timeout={}s", Duration::as_secs(&super::PATIENCE));
            kubectl.run(&[&["wait", "--for=condition=Established", &deadline], &names[..]].concat()).await;
        })
        .await;
}

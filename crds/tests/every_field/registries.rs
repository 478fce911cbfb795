//! SchemaRegistryConnections.

use serde_json::json;

use super::{changed, check};

#[test]
fn registries() {
    check(
        "SchemaRegistryConnection/schemas",
        r#"
spec.url (left out)
spec.url = "registry:8081"
spec.url = "ftp://registry"
spec.url = "https://"
spec.url = "https:///apis"
spec.url = "https://registry:port"
spec.url = "https://u:hunter2@registry"
spec.url = "https://registry?key=hunter2"
spec.url = "https://[zz]:1"
spec.url = "https://r<x>:1"
spec.url = "https://r%zz"
spec.url = "https://r..x"
spec.url = "https://r:8081/a b"
spec.url = "https://r:8081,https://s:8081"
spec.tls = null
spec.authentication = null
spec.authentication.basic = null
spec.tls.trustedCertificates[0].secretName = "keyz"
spec.authentication = {}
spec.authentication.basic.usernameSecret (left out)
spec.authentication.basic.username = "u"
spec.authentication.basic.usernameSecret.username = "user"
spec.authentication.basic.passwordSecret (left out)
spec.authentication.basic.passwordSecret.password = "line"
spec.authentication.certificateAndKey.key = "password"
spec.authentication.type = "basic"
spec.authentication.basic = {"username": "a:b", "passwordSecret": {"secretName": "keys", "password": "password"}}
spec.uri = "http://registry:8081"
"#,
    );
}

#[test]
fn without_encryption_there_are_no_certificates() {
    let errors = changed("SchemaRegistryConnection/schemas", "spec.url", Some(json!("http://registry:8081")));
    let fields: Vec<_> = errors.into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["spec.authentication.certificateAndKey", "spec.tls"]);
}

//! What a Secret holds, told where it is referred to, with the place of the Secret.

use serde_json::{Value, json};

use super::with;

/// Where the good manifests refer to the password; but for the database's, it is taken as text only.
const PASSWORDS: [&str; 5] = [
    "spec.authentication.passwordSecret.password",
    "spec.authentication.basic.passwordSecret.password",
    "spec.postgres.authentication.passwordSecret.password",
    "spec.adminAuthentication.passwordSecret.password",
    "spec.authentication.basic.passwordSecret.password",
];
const PASSWORDS_AS_TEXT: [&str; 4] = [PASSWORDS[0], PASSWORDS[1], PASSWORDS[3], PASSWORDS[4]];
const USERNAMES: [&str; 1] = ["spec.authentication.basic.usernameSecret.username"];

/// A key of the Secret, in this section and no other: all these fields tell this of it.
fn check(section: &str, key: &str, value: &Value, fields: &[&str], what: &str) {
    let errors = with("Secret/keys", |secret| {
        secret["stringData"].as_object_mut().expect("an object").shift_remove(key).expect("the key is there");
        secret[section][key] = value.clone();
    });
    let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.what.as_str())).collect();
    assert_eq!(told, fields.iter().map(|field| (*field, what)).collect::<Vec<_>>(), "{section} {value}");
}

#[test]
fn what_a_secret_holds_is_told_with_its_place() {
    let line = "it ends with a line end, which would be part of the word";
    for (section, key, value, fields, what) in [
        ("stringData", "password", "", &PASSWORDS[..], "it is empty"),
        ("stringData", "password", "hunter2\r\n", &PASSWORDS, line),
        ("data", "password", "", &PASSWORDS, "it is empty"),
        ("data", "password", "aHVudGVyMgo=", &PASSWORDS, line),
        // "hunter2" with a byte 0xff behind it.
        ("data", "password", "aHVudGVyMv8=", &PASSWORDS_AS_TEXT, "it is not UTF-8"),
        ("stringData", "password", "hunter2\0x", &PASSWORDS_AS_TEXT, "it holds a NUL character"),
        ("stringData", "username", "", &USERNAMES, "it is empty"),
        ("stringData", "username", "after\tbay", &USERNAMES, "it holds a colon or a control character"),
        ("stringData", "username", "after:bay", &USERNAMES, "it holds a colon or a control character"),
        ("data", "username", "YWZ0ZXL/YmF5", &USERNAMES, "it is not UTF-8"),
        ("data", "username", "YWZ0ZXJiYXkK", &USERNAMES, line),
    ] {
        let what = format!("key {key} of Secret keys (document 1 of shop.yaml, {section}.{key}): {what}");
        check(section, key, &json!(value), fields, &what);
    }
}

#[test]
fn a_key_that_is_not_there_is_told_with_the_place_of_the_secret() {
    let what = "Secret default/keys has no key password (document 1 of shop.yaml)";
    let errors = with("Secret/keys", |secret| {
        secret["stringData"].as_object_mut().expect("an object").shift_remove("password").expect("the key is there");
    });
    let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.what.as_str())).collect();
    assert_eq!(told, PASSWORDS.map(|field| (field, what)));
}

#[test]
fn what_cannot_be_read_is_told_at_the_secret_alone() {
    check("data", "password", &json!("hunter2!"), &["data.password"], "it is not base64");
    check("data", "password", &json!(12), &["data.password"], "expected a string");
    check("stringData", "password", &json!(true), &["stringData.password"], "expected a string");
    for (section, what) in
        [("stringData", "expected an object with fields"), ("stringDate", "there is no field stringDate")]
    {
        let errors = with("Secret/keys", |secret| {
            let secret = secret.as_object_mut().expect("an object");
            secret.shift_remove("stringData").expect("it is there");
            secret.insert(section.to_owned(), json!("hunter2"));
        });
        let told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.what.as_str())).collect();
        assert_eq!(told, [(section, what)]);
    }
}

#[test]
fn what_wins_is_judged() {
    // "" in base64 would be empty; what stands in stringData takes its place.
    let both = |string: Value| {
        let errors = with("Secret/keys", |secret| {
            secret["data"]["password"] = json!("");
            secret["stringData"]["password"] = string;
        });
        errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert_eq!(both(json!("hunter2")), <[&str; 0]>::default());
    assert_eq!(both(json!(12)), ["stringData.password"]);
    assert_eq!(both(json!("")), PASSWORDS);
}

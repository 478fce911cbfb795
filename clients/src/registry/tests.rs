//! The client against a server of a few lines that gives what it is told to.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// What a server was asked: the request line, the authorization, the body.
type Asked = Arc<Mutex<Vec<(String, Option<String>, String)>>>;

/// Serves these answers one after the other, the last one for ever.
async fn server(answers: Vec<(u16, &'static str)>) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/apis/ccompat/v7", listener.local_addr().unwrap());
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = BufReader::new(socket);
            let (mut first, mut authorization, mut length) = (String::new(), None, 0);
            loop {
                let mut line = String::new();
                socket.read_line(&mut line).await.unwrap();
                let line = line.trim_end();
                match line.split_once(": ") {
                    _ if line.is_empty() => break,
                    Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                        authorization = Some(value.to_owned());
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    Some(_) => {}
                    None => first = line.to_owned(),
                }
            }
            let mut body = vec![0; length];
            socket.read_exact(&mut body).await.unwrap();
            seen.lock().unwrap().push((first, authorization, String::from_utf8(body).unwrap()));
            let (status, body) = *answers.peek().expect("an answer");
            if answers.len() > 1 {
                answers.next();
            }
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn plan(url: &str) -> RegistryConnectionPlan {
    RegistryConnectionPlan {
        name: "default/schemas".to_owned(),
        url: url.to_owned(),
        ca_file: None,
        basic: None,
        certificate: None,
    }
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn registers_below_the_path_with_the_subject_encoded() {
    let (url, asked) = server(vec![(200, r#"{"id": 7}"#)]).await;
    let (user, password) = (file("me"), file("geheim"));
    let basic =
        Some(RegistryBasicPlan { username_file: user.path().to_owned(), password_file: password.path().to_owned() });
    let client = RegistryClient::new(&RegistryConnectionPlan { basic, ..plan(&url) }).unwrap();
    assert_eq!(client.register("a/b c%-value", r#""string""#).await.unwrap(), 7);
    let asked = asked.lock().unwrap();
    let (line, authorization, body) = &asked[0];
    assert_eq!(line, "POST /apis/ccompat/v7/subjects/a%2Fb%20c%25-value/versions HTTP/1.1");
    assert_eq!(authorization.as_deref(), Some("Basic bWU6Z2VoZWlt"));
    assert_eq!(body, r#"{"schema":"\"string\""}"#);
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let (url, asked) = server(vec![(503, ""), (429, "slow down"), (200, r#"{"id": 1}"#)]).await;
    assert_eq!(RegistryClient::new(&plan(&url)).unwrap().register("s", "{}").await.unwrap(), 1);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn refusals_are_told_in_the_registrys_words_and_not_repeated() {
    let conflict = r#"{"error_code":409,"message":"Schema being registered is incompatible:\n reader lacks a"}"#;
    for (status, body, kind, reason, words) in [
        (409, conflict, RegistryErrorKind::SchemaRefused, "SchemaRefused", "is incompatible: reader lacks a"),
        (422, r#"{"error_code":42201,"message":"bad"}"#, RegistryErrorKind::SchemaRefused, "SchemaRefused", "bad"),
        (401, "", RegistryErrorKind::AuthenticationFailed, "RegistryAuthenticationFailed", "401"),
        (403, "<html>no</html>", RegistryErrorKind::AuthenticationFailed, "RegistryAuthenticationFailed", "no"),
        (
            400,
            "No required SSL certificate was sent",
            RegistryErrorKind::AuthenticationFailed,
            "RegistryAuthenticationFailed",
            "certificate",
        ),
        (404, "not here", RegistryErrorKind::Failed, "RegistryFailed", "not here"),
        (302, "", RegistryErrorKind::Failed, "RegistryFailed", "302"),
        (200, "hello", RegistryErrorKind::Failed, "RegistryFailed", "no schema id"),
    ] {
        let (url, asked) = server(vec![(status, body)]).await;
        let error = RegistryClient::new(&plan(&url)).unwrap().register("orders-value", "{}").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let problem = error.problem();
        assert_eq!(problem.reason, reason);
        assert!(problem.message.contains(words), "{}", problem.message);
        assert!(problem.message.contains(&url), "{}", problem.message);
        assert_eq!(asked.lock().unwrap().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = RegistryClient::new(&plan(&url)).unwrap();
    let error = client.send(client.request(Method::GET, client.url(&["subjects"])).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable, "{error}");
    assert!(error.transient());
    assert!(error.words.contains("refused"), "{}", error.words);
}

#[test]
fn unusable_settings_are_told_before_anything_is_sent() {
    let kind = |plan: &RegistryConnectionPlan| RegistryClient::new(plan).map(drop).unwrap_err().kind;
    assert_eq!(kind(&plan("registry:8081")), RegistryErrorKind::Failed);
    let empty = file("");
    let unusable = RegistryConnectionPlan { ca_file: Some(empty.path().to_owned()), ..plan("https://registry:8081") };
    assert_eq!(kind(&unusable), RegistryErrorKind::TlsFiles);
}

#[test]
fn passwords_in_a_url_are_not_told() {
    let error = RegistryError::new(RegistryErrorKind::Failed, "x", "https://me:geheim@registry:8081/path");
    assert_eq!(error.registry, "https://registry:8081/path");
}

/// Callers spawn their work on threads.
#[test]
fn futures_can_move_between_threads() {
    fn assert_send<T: Send>(_: T) {}
    let client = RegistryClient::new(&plan("http://127.0.0.1:1")).unwrap();
    assert_send(client.register("s", "{}"));
    assert_send(client.check());
}

#[tokio::test]
async fn only_who_lists_subjects_is_taken_for_a_registry() {
    for list in ["[]", " [\"a-value\", \"b-key\"]"] {
        let (url, asked) = server(vec![(200, list)]).await;
        RegistryClient::new(&plan(&url)).unwrap().check().await.unwrap();
        assert_eq!(asked.lock().unwrap()[0].0, "GET /apis/ccompat/v7/subjects HTTP/1.1");
    }
    for other in ["", "<!DOCTYPE html><p>[sign in]</p>", "{\"status\": \"ok\"}"] {
        let (url, _) = server(vec![(200, other)]).await;
        let error = RegistryClient::new(&plan(&url)).unwrap().check().await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Failed, "{other}");
        assert!(error.to_string().contains("is this a schema registry?"), "{error}");
    }
}

//! `afterbay probe`: asks a page, as `helm test` does.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

use super::{afterbay, check};

/// Answers one request after the other with these statuses.
fn answers(statuses: &'static [&'static str]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/readyz", listener.local_addr().expect("it has an address"));
    let server = spawn(move || {
        for status in statuses {
            let (mut connection, _) = listener.accept().expect("somebody asks");
            let mut request = [0; 1024];
            let length = connection.read(&mut request).expect("a request");
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1"));
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).expect("it is read");
        }
    });
    (url, server)
}

#[test]
fn it_waits_until_all_is_well() {
    let (url, server) = answers(&["503 Service Unavailable", "200 OK"]);
    let ended = afterbay(&["probe", "--timeout=60s", &url]);
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    check(&ended.out, &[&url, "200 OK"]);
    server.join().expect("both were asked for");
}

#[test]
fn it_says_what_it_got_instead() {
    let (url, server) = answers(&["503 Service Unavailable"]);
    let ended = afterbay(&["probe", "--timeout=100ms", &url]);
    assert_eq!(ended.code, Some(1));
    check(&ended.log, &["error: ", &url, "it answers with 503 Service Unavailable"]);
    server.join().expect("it was asked");

    let ended = afterbay(&["probe", "--timeout=100ms", &url]);
    assert_eq!(ended.code, Some(1));
    check(&ended.log, &["error: ", &url, "refused"]);
}

use super::*;

fn place() -> Arc<Place> {
    Arc::new(Place { servers: "db:5432".into(), database: "shop".into(), role: "after bay".into() })
}

#[test]
fn what_a_server_says_has_a_class() {
    use PostgresErrorKind as Kind;
    let cases = [
        ("28P01", "password authentication failed for user \"a\"", Kind::WrongPassword, "SourceAuthenticationFailed"),
        ("28000", "role \"a\" does not exist", Kind::WrongPassword, "SourceAuthenticationFailed"),
        ("28000", "no pg_hba.conf entry for host \"1.2.3.4\"", Kind::NoHbaEntry, "SourceAuthenticationFailed"),
        ("3D000", "database \"shop\" does not exist", Kind::UnknownDatabase, "DatabaseNotFound"),
        ("42501", "must be superuser or replication role to start walsender", Kind::NotPermitted, "SourceNotPermitted"),
        ("55000", "logical decoding requires wal_level >= logical", Kind::WalLevelTooLow, "WalLevelTooLow"),
        ("53400", "all replication slots are in use", Kind::SlotsExhausted, "ReplicationSlotsExhausted"),
        (
            "53300",
            "number of requested standby connections exceeds max_wal_senders (currently 10)",
            Kind::SlotsExhausted,
            "ReplicationSlotsExhausted",
        ),
        ("53300", "sorry, too many clients already", Kind::TooManyConnections, "SourceFailed"),
        ("55006", "replication slot \"s\" is active for PID 7", Kind::SlotInUse, "SlotInUse"),
        ("42704", "replication slot \"s\" does not exist", Kind::SlotLost, "SlotLost"),
        ("55000", "cannot read from logical replication slot \"s\"", Kind::SlotLost, "SlotLost"),
        ("55000", "can no longer get changes from replication slot \"s\"", Kind::SlotLost, "SlotLost"),
        ("58P01", "requested WAL segment 0001 has already been removed", Kind::SlotLost, "SlotLost"),
        ("55000", "replication slot \"s\" was not created in this database", Kind::SlotUnfit, "SlotUnfit"),
        ("42704", "publication \"p\" does not exist", Kind::PublicationMissing, "PublicationIncomplete"),
        ("42P01", "relation \"x\" does not exist", Kind::TableMissing, "TableNotFound"),
        ("57P01", "terminating connection due to administrator command", Kind::Unavailable, "SourceUnreachable"),
        ("57P03", "the database system is starting up", Kind::Unavailable, "SourceUnreachable"),
        ("55P03", "canceling statement due to lock timeout", Kind::Locked, "SourceFailed"),
        ("53100", "could not extend file", Kind::OutOfResources, "SourceFailed"),
        ("XX000", "something else", Kind::Other, "SourceFailed"),
        ("", "nothing", Kind::Other, "SourceFailed"),
    ];
    for (sqlstate, words, kind, reason) in cases {
        let error = PostgresError::server(sqlstate, words.to_owned(), &place());
        assert_eq!(error.kind, kind, "{sqlstate} {words}");
        let problem = error.problem();
        assert_eq!(problem.reason, reason, "{sqlstate} {words}");
        assert!(problem.message.contains("db:5432"), "{}", problem.message);
        assert!(problem.message.contains(words), "the server's words are kept: {}", problem.message);
        assert!(!problem.hint.is_empty());
    }
}

#[test]
fn only_what_heals_by_itself_is_transient() {
    let transient = |sqlstate: &str, words: &str| PostgresError::server(sqlstate, words.into(), &place()).transient();
    assert!(transient("57P01", ""));
    assert!(transient("08006", ""));
    assert!(transient("40001", ""));
    assert!(transient("53300", ""));
    assert!(!transient("28P01", ""));
    assert!(!transient("42704", "replication slot \"s\" does not exist"));
    assert!(!transient("42501", ""));
}

#[test]
fn a_missing_privilege_names_the_statement() {
    let hint = |words: &str| PostgresError::server("42501", words.into(), &place()).problem().hint;
    assert_eq!(
        hint("permission denied to start WAL sender; Only roles with the REPLICATION attribute may start one."),
        "run ALTER ROLE \"after bay\" WITH REPLICATION;"
    );
    assert_eq!(hint("permission denied for table orders"), "run GRANT SELECT ON that table TO \"after bay\";");
    assert_eq!(hint("permission denied for schema shop"), "run GRANT USAGE ON that schema TO \"after bay\";");
}

#[test]
fn broken_connections_and_handshakes() {
    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    let error = PostgresError::io(&broken, &place());
    assert_eq!(error.kind, PostgresErrorKind::ConnectionLost);
    assert!(error.transient());

    let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let error = PostgresError::io(&io::Error::new(io::ErrorKind::InvalidData, untrusted), &place());
    assert_eq!(error.kind, PostgresErrorKind::TlsUntrusted);
    assert!(!error.transient());
    assert_eq!(error.problem().reason, "SourceTlsFailed");
}

//! Valid messages of pgoutput, put together from "Logical Replication Message Formats" of Postgres' documentation.

use proptest::collection::vec;
use proptest::prelude::*;

/// The values of a row.
pub fn any_row() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(prop::option::of(vec(any::<u8>(), 0..12)), 0..8)
}

/// A message of any kind.
pub fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(lsn, time, xid)| begin(lsn, time, xid)),
        1 => (any::<u64>(), any::<u32>()).prop_map(|(lsn, time)| commit(lsn, time)),
        2 => (any::<u32>(), "[a-zü ]{0,9}", prop::sample::select(b"dnfi".to_vec()), vec("[a-z_]{0,9}", 0..6))
            .prop_map(|(oid, name, identity, columns)| relation(oid, &name, identity, &columns)),
        2 => (any::<u32>(), any_tuple()).prop_map(|(oid, new)| change(b'I', oid, &[(b'N', new)])),
        2 => (any::<u32>(), any_tuple()).prop_map(|(oid, new)| change(b'U', oid, &[(b'N', new)])),
        3 => (any::<u32>(), old(), any_tuple(), any_tuple())
            .prop_map(|(oid, kind, old, new)| change(b'U', oid, &[(kind, old), (b'N', new)])),
        2 => (any::<u32>(), old(), any_tuple()).prop_map(|(oid, kind, row)| change(b'D', oid, &[(kind, row)])),
        1 => (vec(any::<u32>(), 0..5), 0_u8..4).prop_map(|(oids, flags)| truncate(&oids, flags)),
        1 => (any::<u64>(), "[a-z]{0,9}").prop_map(|(lsn, name)| [b"O", &lsn.to_be_bytes()[..], &text(&name)].concat()),
        1 => (any::<u64>(), "[a-z]{0,9}", vec(any::<u8>(), 0..20)).prop_map(|(lsn, prefix, body)| {
            let len = (body.len() as u32).to_be_bytes();
            [b"M\x01", &lsn.to_be_bytes()[..], &text(&prefix), &len, &body].concat()
        }),
    ]
}

fn old() -> impl Strategy<Value = u8> {
    prop::sample::select(b"KO".to_vec())
}

fn any_tuple() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        3 => vec(any::<u8>(), 0..12).prop_map(|value| [b"t", &(value.len() as u32).to_be_bytes()[..], &value].concat()),
        1 => Just(b"n".to_vec()),
        1 => Just(b"u".to_vec()),
    ];
    vec(cell, 0..6).prop_map(|cells| [(cells.len() as u16).to_be_bytes().to_vec(), cells.concat()].concat())
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), b"\0"].concat()
}

fn begin(lsn: u64, time: u32, xid: u32) -> Vec<u8> {
    [b"B", &lsn.to_be_bytes()[..], &u64::from(time).to_be_bytes(), &xid.to_be_bytes()].concat()
}

fn commit(lsn: u64, time: u32) -> Vec<u8> {
    let end = lsn.wrapping_add(48).to_be_bytes();
    [b"C\0", &lsn.to_be_bytes()[..], &end, &u64::from(time).to_be_bytes()].concat()
}

fn relation(oid: u32, name: &str, identity: u8, columns: &[String]) -> Vec<u8> {
    let mut bytes = [b"R", &oid.to_be_bytes()[..], &text("public"), &text(name), &[identity]].concat();
    bytes.extend((columns.len() as u16).to_be_bytes());
    for column in columns {
        bytes.extend([&[1][..], &text(column), &25_u32.to_be_bytes(), &(-1_i32).to_be_bytes()].concat());
    }
    bytes
}

fn change(kind: u8, oid: u32, rows: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [&[kind][..], &oid.to_be_bytes()].concat();
    for (kind, row) in rows {
        bytes.push(*kind);
        bytes.extend(row);
    }
    bytes
}

fn truncate(oids: &[u32], flags: u8) -> Vec<u8> {
    let oids_bytes: Vec<u8> = oids.iter().flat_map(|oid| oid.to_be_bytes()).collect();
    [b"T", &(oids.len() as u32).to_be_bytes()[..], &[flags], &oids_bytes].concat()
}

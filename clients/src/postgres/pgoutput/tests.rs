//! Messages put together by hand from the chapter "Logical Replication Message Formats".

use proptest::prelude::*;

use super::*;

/// Bytes of a message: numbers with their width, texts with the zero byte.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn kind(kind: u8) -> Self {
        Self(vec![kind])
    }
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn text(mut self, value: &str) -> Self {
        self.0.extend(value.as_bytes());
        self.0.push(0);
        self
    }
    fn tuple(mut self, cells: &[Cell<'_>]) -> Self {
        self = self.u16(cells.len() as u16);
        for cell in cells {
            self = match cell {
                Cell::Null => self.u8(b'n'),
                Cell::Unchanged => self.u8(b'u'),
                Cell::Text(value) => {
                    let mut with_length = self.u8(b't').u32(value.len() as u32);
                    with_length.0.extend(*value);
                    with_length
                }
            };
        }
        self
    }
}

fn cells<'a>(tuple: &Tuple<'a>) -> Vec<Cell<'a>> {
    assert_eq!(tuple.cells().len(), tuple.len());
    tuple.cells().collect()
}

const ROW: [Cell<'static>; 3] = [Cell::Text(b"1"), Cell::Null, Cell::Text(b"")];

#[test]
fn transaction_frame() {
    let begin = Bytes::kind(b'B').u64(0x16B_3748).u64(1_000_000).u32(742);
    let expected = Begin { commit_lsn: Lsn(0x16B_3748), commit_time_us: 946_684_801_000_000, xid: 742 };
    assert_eq!(decode(&begin.0), Ok(Message::Begin(expected)));

    let commit = Bytes::kind(b'C').u8(0).u64(0x16B_3748).u64(0x16B_3778).u64(0);
    let expected =
        Commit { commit_lsn: Lsn(0x16B_3748), end_lsn: Lsn(0x16B_3778), commit_time_us: 946_684_800_000_000 };
    assert_eq!(decode(&commit.0), Ok(Message::Commit(expected)));
}

#[test]
fn relation_with_key_flags() {
    let bytes = Bytes::kind(b'R').u32(16400).text("public").text("My Orders").u8(b'f').u16(2);
    let bytes = bytes.u8(1).text("id").u32(20).u32(u32::MAX).u8(0).text("total").u32(1700).u32(655_366);
    let column = |key, name: &str, type_oid, type_modifier| RelationColumn {
        key,
        name: name.to_owned(),
        type_oid,
        type_modifier,
    };
    let expected = RelationBody {
        oid: 16400,
        namespace: "public".to_owned(),
        name: "My Orders".to_owned(),
        replica_identity: ReplicaIdentitySetting::Full,
        columns: vec![column(true, "id", 20, -1), column(false, "total", 1700, 655_366)],
    };
    assert_eq!(decode(&bytes.0), Ok(Message::Relation(expected)));
}

#[test]
fn an_empty_namespace_is_pg_catalog() {
    let bytes = Bytes::kind(b'R').u32(1).text("").text("t").u8(b'd').u16(0);
    let Ok(Message::Relation(relation)) = decode(&bytes.0) else { panic!("no relation") };
    assert_eq!(relation.namespace, "pg_catalog");
}

#[test]
fn insert() {
    let bytes = Bytes::kind(b'I').u32(7).u8(b'N').tuple(&ROW);
    let Ok(Message::Insert(insert)) = decode(&bytes.0) else { panic!("no insert") };
    assert_eq!(insert.relation, 7);
    assert_eq!(cells(&insert.new), ROW);
}

#[test]
fn update_with_each_kind_of_old_row() {
    let new = [Cell::Text(b"2"), Cell::Unchanged, Cell::Null];
    let bytes = Bytes::kind(b'U').u32(7).u8(b'N').tuple(&new);
    let Ok(Message::Update(update)) = decode(&bytes.0) else { panic!("no update") };
    assert_eq!(update.old, None);
    assert_eq!(cells(&update.new), new);

    for kind in [b'K', b'O'] {
        let bytes = Bytes::kind(b'U').u32(7).u8(kind).tuple(&ROW).u8(b'N').tuple(&new);
        let Ok(Message::Update(update)) = decode(&bytes.0) else { panic!("no update") };
        let old = update.old.expect("the old row");
        assert_eq!(matches!(old, OldTuple::Full(_)), kind == b'O');
        assert_eq!(cells(&old.tuple()), ROW);
        assert_eq!(cells(&update.new), new);
    }
}

#[test]
fn delete() {
    let bytes = Bytes::kind(b'D').u32(7).u8(b'K').tuple(&ROW);
    let Ok(Message::Delete(delete)) = decode(&bytes.0) else { panic!("no delete") };
    assert!(matches!(delete.old, OldTuple::Key(_)));
    assert_eq!(cells(&delete.old.tuple()), ROW);
}

#[test]
fn truncate() {
    let bytes = Bytes::kind(b'T').u32(2).u8(3).u32(7).u32(8);
    let expected = Truncate { relations: vec![7, 8], cascade: true, restart_identity: true };
    assert_eq!(decode(&bytes.0), Ok(Message::Truncate(expected)));
}

#[test]
fn what_is_no_business_of_ours() {
    let origin = Bytes::kind(b'O').u64(1).text("elsewhere");
    let type_name = Bytes::kind(b'Y').u32(16500).text("public").text("mood");
    let message = Bytes::kind(b'M').u8(1).u64(5).text("prefix").u32(2).u8(0).u8(255);
    for bytes in [origin, type_name, message] {
        assert_eq!(decode(&bytes.0), Ok(Message::Ignored));
    }
}

#[test]
fn malformed() {
    let good = Bytes::kind(b'U').u32(7).u8(b'O').tuple(&ROW).u8(b'N').tuple(&ROW).0;
    assert!(decode(&good).is_ok());
    for end in 1..good.len() {
        assert_eq!(decode(&good[..end]), Err(DecodeError::Malformed('U')), "cut at {end}");
    }
    let mut longer = good;
    longer.push(0);
    assert_eq!(decode(&longer), Err(DecodeError::Malformed('U')));

    assert_eq!(decode(b""), Err(DecodeError::UnknownKind(0)));
    assert_eq!(decode(b"S"), Err(DecodeError::UnknownKind(b'S')), "streamed transactions are not protocol 1");
    let binary = Bytes::kind(b'I').u32(7).u8(b'N').u16(1).u8(b'b').u32(0);
    assert_eq!(decode(&binary.0), Err(DecodeError::Malformed('I')));
    let far = Bytes::kind(b'B').u64(1).u64(i64::MAX as u64).u32(1);
    assert_eq!(decode(&far.0), Err(DecodeError::Malformed('B')), "a time beyond 64 bits");
    let huge = Bytes::kind(b'T').u32(u32::MAX).u8(0);
    assert_eq!(decode(&huge.0), Err(DecodeError::Malformed('T')));
}

proptest! {
    #[test]
    fn never_panics(kind in prop::sample::select(b"BCRIUDTOYM".to_vec()), body in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = vec![kind];
        bytes.extend(body);
        if let Ok(Message::Insert(insert)) = decode(&bytes) {
            prop_assert_eq!(insert.new.cells().count(), insert.new.len());
        }
    }

    #[test]
    fn rows_come_back(values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let row: Vec<Cell<'_>> = values.iter().map(|v| v.as_deref().map_or(Cell::Null, Cell::Text)).collect();
        let bytes = Bytes::kind(b'I').u32(1).u8(b'N').tuple(&row);
        let Ok(Message::Insert(insert)) = decode(&bytes.0) else { panic!("no insert") };
        prop_assert_eq!(cells(&insert.new), row);
    }
}

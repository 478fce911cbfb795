//! The checker is checked: it sees what is lost, repeated, out of order or made up.

use super::*;

fn row(n: i64) -> Row {
    json!({"id": 1, "n": n, "owner": null})
}

fn note(seq: i64, before: Option<i64>, after: Option<i64>) -> Note {
    Note { seq, table: Table::Account, before: before.map(row), after: after.map(row) }
}

fn message(of_snapshot: bool, value: Value) -> Found {
    Found { of_snapshot, key: json!({"id": 1}), value }
}

fn change(n: i64) -> Found {
    message(false, row(n))
}

fn snapshot(n: i64) -> Found {
    message(true, row(n))
}

fn tombstone() -> Found {
    message(false, Value::Null)
}

/// The row is 1, becomes 2, goes, and comes back as 3.
fn judge(start: Start, found: &[Found]) -> Verdict {
    let rows = Rows::from([("1".to_owned(), vec![row(1)])]);
    let notes = [note(10, Some(1), Some(2)), note(11, Some(2), None), note(12, None, Some(3))];
    let stories = stories((Table::Account, View::Whole), Envelope::Upsert, start, &rows, &notes);
    stories["1"].verdict(Table::Account, Envelope::Upsert, start, found)
}

#[test]
fn a_stream_tells_every_change() {
    let stream = |found: &[Found]| judge(Start::Streaming, found);
    assert_eq!(stream(&[change(2), tombstone(), change(3)]), Verdict::Whole);
    for lacking in [&[change(2), tombstone()][..], &[change(2), change(3)], &[change(3)], &[]] {
        assert_eq!(stream(lacking), Verdict::Lacking, "{lacking:?}");
    }
    for wrong in [
        &[change(2), change(2), tombstone(), change(3)][..],
        &[change(2), tombstone(), change(3), change(3)],
        &[tombstone(), change(2), change(3)],
        &[snapshot(2), tombstone(), change(3)],
        &[change(1), change(2), tombstone(), change(3)],
    ] {
        assert_eq!(stream(wrong), Verdict::Wrong, "{wrong:?}");
    }
}

#[test]
fn a_snapshot_stands_for_what_was_before_it() {
    let early = |found: &[Found]| judge(Start::Snapshot { last: 12 }, found);
    for whole in [
        &[snapshot(1), change(2), tombstone(), change(3)][..],
        &[snapshot(2), tombstone(), change(3)],
        &[change(3)],
        &[snapshot(3)],
    ] {
        assert_eq!(early(whole), Verdict::Whole, "{whole:?}");
    }
    for lacking in [&[][..], &[snapshot(1), change(2)], &[snapshot(1), change(3)], &[change(2), tombstone(), change(3)]]
    {
        assert_eq!(early(lacking), Verdict::Lacking, "{lacking:?}");
    }
    for wrong in [
        &[snapshot(1), snapshot(1), change(2), tombstone(), change(3)][..],
        &[change(2), snapshot(2), tombstone(), change(3)],
        &[snapshot(3), change(3)],
    ] {
        assert_eq!(early(wrong), Verdict::Wrong, "{wrong:?}");
    }
}

#[test]
fn a_snapshot_cannot_hold_what_came_after_it() {
    let late = |found: &[Found]| judge(Start::Snapshot { last: 10 }, found);
    assert_eq!(late(&[snapshot(2), tombstone(), change(3)]), Verdict::Whole);
    assert_eq!(late(&[snapshot(3)]), Verdict::Wrong);
    assert_eq!(late(&[change(3)]), Verdict::Lacking, "the row of the snapshot, or its end");
}

#[test]
fn another_key_is_the_end_of_one_story_and_the_begin_of_another() {
    let other = json!({"id": 2, "n": 5, "owner": null});
    let moved = Note { seq: 10, table: Table::Account, before: Some(row(1)), after: Some(other.clone()) };
    for (envelope, gone, come) in [
        (Envelope::Upsert, Value::Null, other.clone()),
        (Envelope::Debezium, json!({"before": row(1), "after": null}), json!({"before": null, "after": other})),
    ] {
        let stories = stories(
            (Table::Account, View::Whole),
            envelope,
            Start::Streaming,
            &Rows::new(),
            std::slice::from_ref(&moved),
        );
        let verdict = |key: &str, found| stories[key].verdict(Table::Account, envelope, Start::Streaming, &[found]);
        assert_eq!(verdict("1", message(false, gone)), Verdict::Whole);
        assert_eq!(verdict("2", Found { of_snapshot: false, key: json!({"id": 2}), value: come }), Verdict::Whole);
    }
}

#[test]
fn rows_without_a_key_are_counted() {
    let twin = json!({"id": 1, "n": 1, "body": null});
    let rows = Rows::from([("1".to_owned(), vec![twin.clone(), twin.clone()])]);
    let start = Start::Snapshot { last: 0 };
    let stories = stories((Table::Event, View::Whole), Envelope::Debezium, start, &rows, &[]);
    let found = Found { of_snapshot: true, key: Value::Null, value: json!({"before": null, "after": twin}) };
    let verdict = |count| {
        let found = vec![found.clone(); count];
        stories["1"].verdict(Table::Event, Envelope::Debezium, start, &found)
    };
    assert_eq!([verdict(1), verdict(2), verdict(3)], [Verdict::Lacking, Verdict::Whole, Verdict::Wrong]);
}

#[test]
fn a_view_turns_changes_into_what_they_are_to_it() {
    let word = |owner: Option<i64>, n: i64| json!({"code": "w", "n": n, "owner": owner});
    let note = |seq, before, after| Note { seq, table: Table::Word, before, after };
    let notes = [
        note(10, Some(word(Some(1), 1)), Some(word(Some(2), 2))),
        note(11, Some(word(Some(2), 2)), Some(word(Some(4), 3))),
        note(12, Some(word(Some(4), 3)), Some(word(None, 4))),
        note(13, Some(word(None, 4)), None),
    ];
    let rows = Rows::from([("\"w\"".to_owned(), vec![word(Some(1), 1)])]);
    let start = Start::Snapshot { last: 9 };
    let stories = stories((Table::Word, View::Even), Envelope::Upsert, start, &rows, &notes);
    let found = |value| Found { of_snapshot: false, key: json!({"code": "w"}), value };
    let told = [
        found(json!({"code": "w", "number": 2, "owner": 2})),
        found(json!({"code": "w", "number": 3, "owner": 4})),
        found(Value::Null),
    ];
    let verdict = |found: &[Found]| stories["\"w\""].verdict(Table::Word, Envelope::Upsert, start, found);
    assert_eq!(verdict(&told), Verdict::Whole);
    assert_eq!(verdict(&told[..2]), Verdict::Lacking);
    assert_eq!(verdict(&told[1..]), Verdict::Lacking);
}

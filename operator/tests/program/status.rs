//! `afterbay status` where nothing runs.

use std::fs;

use super::{afterbay, check};

#[test]
fn nothing_runs() {
    let folder = tempfile::tempdir().expect("there is a place for files");
    let missing = folder.path().join("missing");
    // What a killed run leaves: files, but nobody who holds the lock.
    let left = folder.path().join("left");
    fs::create_dir(&left).expect("a folder can be made");
    for (name, text) in [("lock", "1"), ("status.json", "[]")] {
        fs::write(left.join(name), text).expect("a file can be written");
    }
    for place in [&missing, &left] {
        let place = place.to_str().expect("the path is text");
        for output in ["text", "json"] {
            let ended = afterbay(&["status", "--state-dir", place, "-o", output]);
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
            let words =
                ["error: no afterbay run holds the state directory", place, "start one, or give its --state-dir"];
            check(&ended.log, &words);
        }
    }
    assert!(!missing.exists(), "looking makes nothing");
}

//! Manifests with some of their fields changed.

use serde_json::Value;

/// The manifest after some changes, one a line: `path = JSON`, or `path (left out)`.
pub fn changed(manifest: &Value, changes: &str) -> Value {
    let mut manifest = manifest.clone();
    for change in changes.lines().map(str::trim).filter(|change| !change.is_empty()) {
        if let Some((path, value)) = change.split_once(" = ") {
            *place(&mut manifest, path) = serde_json::from_str(value).expect(change);
        } else {
            let path = change.strip_suffix(" (left out)").expect(change);
            let (parent, name) = path.rsplit_once('.').expect(change);
            let parent = place(&mut manifest, parent).as_object_mut().expect(change);
            parent.remove(name).expect(change);
        }
    }
    manifest
}

/// `spec.a.b[0].c`, made where it is not there.
fn place<'a>(manifest: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(manifest, |place, part| match part.strip_suffix("[0]") {
        Some(name) => &mut place[name][0],
        None => &mut place[part],
    })
}

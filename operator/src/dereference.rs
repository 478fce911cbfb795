//! Gathers what manifests are read from: files, folders, standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use afterbay_clients::kafka::config::refused;
use afterbay_crds::manifest::{ManifestError, ManifestFile, Manifests, Place, read};
use afterbay_crds::validate::validate;
use afterbay_queries::Query;

use crate::cli::ManifestArguments;

/// Reads the manifests; all that is wrong with them, each by its place. Where the last Sink may be what is deleted
/// (`may_lack_sinks`) there need be none, but something, which an empty file is not.
pub fn manifests(arguments: &ManifestArguments, may_lack_sinks: bool) -> (Manifests, Vec<ManifestError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in &arguments.paths {
        gather(path, &mut files, &mut errors);
    }
    let (mut manifests, found) = read(&files, &arguments.namespace);
    if !errors.is_empty() {
        manifests.lack_files();
    }
    errors.extend(found);
    errors.extend(judge(&mut manifests, &arguments.instance));
    errors.sort();
    let something = !manifests.kafka_connections.is_empty() || !manifests.sources.is_empty();
    if errors.is_empty() && manifests.sinks.is_empty() && !(may_lack_sinks && something) {
        let place = Place::file(&shown(&arguments.paths));
        errors.push(place.error("", "there is no Sink in these manifests", "add one, or name its file with -f"));
    }
    (manifests, errors)
}

/// All that manifests alone show to be wrong, for people, sorted; takes in which tables their queries read.
pub fn judge(manifests: &mut Manifests, instance: &str) -> Vec<ManifestError> {
    let mut errors = validate(manifests, instance);
    client_settings(manifests, &mut errors);
    queries(manifests, &mut errors);
    errors.sort();
    errors
}

/// Settings that Kafka's client does not take. Of one that must not be there at all that is told, and no more.
fn client_settings(manifests: &Manifests, errors: &mut Vec<ManifestError>) {
    for connection in manifests.kafka_connections.values() {
        for (name, value) in &connection.spec.config {
            let field = format!("spec.config.{name}");
            let is_told = errors.iter().any(|error| error.place == connection.place && error.field == field);
            if let Some(words) = refused(name, value).filter(|_| !is_told) {
                let remedy = "write a setting of librdkafka as its CONFIGURATION.md has it, or leave it out";
                errors.push(connection.place.error(field, words, remedy));
            }
        }
    }
}

/// Queries that are none, or none that can be carried: what their text shows. Of others, the tables that they read.
fn queries(manifests: &mut Manifests, errors: &mut Vec<ManifestError>) {
    let field = "spec.source.query";
    for sink in manifests.sinks.values().filter(|sink| sink.knows(field)) {
        // That there is nothing is told already.
        let Some(sql) = sink.spec.source.query.as_ref().filter(|sql| !sql.trim().is_empty()) else { continue };
        match Query::parse(sql) {
            Ok(query) => {
                manifests.queried.insert(sql.clone(), query.table_name());
            }
            Err(error) => {
                let remedy =
                    error.hint.clone().unwrap_or_else(|| "see docs/sql.md for what a query may hold".to_owned());
                errors.push(sink.place.error(field, error.to_string(), remedy));
            }
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn gather(path: &Path, files: &mut Vec<ManifestFile>, errors: &mut Vec<ManifestError>) {
    if path.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return unreadable(path, "it cannot be listed", errors) };
        let mut paths: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_manifest(path)).collect();
        paths.sort();
        if paths.is_empty() {
            unreadable(path, "it holds no .yaml, .yml or .json file (subfolders are not read)", errors);
        }
        for path in paths {
            gather(&path, files, errors);
        }
        return;
    }
    let (name, contents) = if path == Path::new("-") {
        let mut contents = Vec::new();
        ("standard input".to_owned(), std::io::stdin().read_to_end(&mut contents).map(|_| contents))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    match contents.map(|contents| ManifestFile::from_bytes(name, contents)) {
        Ok(Ok(file)) => files.push(file),
        Ok(Err(error)) => errors.push(*error),
        Err(error) => unreadable(path, &format!("it cannot be read: {error}"), errors),
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
}

fn unreadable(path: &Path, what: &str, errors: &mut Vec<ManifestError>) {
    let place = Place::file(&path.display().to_string());
    errors.push(place.error("", what, "correct the path given with -f"));
}

//! The command line: help, and what is not understood.

use super::{afterbay, check};

/// As clap's, and as that of most programs: told apart from what is wrong with manifests.
const USAGE: Option<i32> = Some(2);

#[test]
fn help_and_version() {
    let ended = afterbay(&["--help"]);
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    check(&ended.out, &["exactly once", "Usage: afterbay <COMMAND>", "run", "validate", "status", "crds"]);
    let run = afterbay(&["run", "--help"]);
    check(&run.out, &["--filename", "--namespace", "--instance", "--state-dir", "--until-caught-up", "--timeout"]);
    let version = afterbay(&["--version"]);
    assert_eq!(version.out, concat!("afterbay ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn what_is_not_understood_is_told_with_the_usage() {
    for (arguments, words) in [
        (&[][..], ["Usage: afterbay <COMMAND>", "Commands:"]),
        (&["valdate"], ["unrecognized subcommand 'valdate'", "'validate'"]),
        (&["validate"], ["required arguments were not provided", "--filename <PATH>"]),
        (&["status", "--onlne"], ["unexpected argument '--onlne'", "Usage: afterbay status"]),
        (&["validate", "-f", "x", "-o", "xml"], ["invalid value 'xml'", "[possible values: text, json]"]),
        (&["run", "-f", "x", "--timeout", "5"], ["invalid value '5'", "write e.g. 30s, 5m or 1h30m"]),
        (&["run", "-f", "x", "--timeout", "9999999999999999999h"], ["invalid value", "write e.g. 30s, 5m or 1h30m"]),
        (&["run", "-f", "x", "--timeout", "5m"], ["required arguments were not provided", "--until-caught-up"]),
        (&["validate", "-f", "x", "--namespace", "A b"], ["invalid value 'A b'", "use up to 63 lower-case letters"]),
        (&["run", "-f", "x", "--namespace", ""], ["--namespace <NAMESPACE>", "use up to 63 lower-case letters"]),
        (&["run", "-f", "x", "--instance", "A b"], ["invalid value 'A b'", "use up to 63 letters and digits"]),
    ] {
        let ended = afterbay(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (USAGE, ""), "{arguments:?}");
        check(&ended.log, &words);
    }
}

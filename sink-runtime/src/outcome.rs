//! What came of a retirement, as a file (`--outcome FILE`): in a cluster the termination log, of which Kubernetes keeps 4096
//! bytes and no more.

use std::io::Write as _;
use std::path::Path;

use afterbay_crds::report::Problem;
use afterbay_crds::retirement::Retirement;

/// What Kubernetes keeps of a container's termination log (kubelet's `MaxContainerTerminationMessageLength`).
pub const BYTES_MAX: usize = 4096;
/// How short texts become before what they belong to is left out.
const SHORTEST: usize = 80;

/// Writes it in place: a termination log is a mounted file, beside which there can be no other.
pub fn write(path: &Path, retirement: &Retirement) -> std::io::Result<()> {
    let text = bounded(retirement)?;
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

/// As JSON of at most [`BYTES_MAX`] bytes: texts become shorter first, then what has stayed behind is left out from its end,
/// then what has gone. It stays what can be read back.
fn bounded(retirement: &Retirement) -> serde_json::Result<String> {
    let mut shorter = retirement.clone();
    let mut length = BYTES_MAX;
    loop {
        let text = serde_json::to_string(&shorter)?;
        if text.len() <= BYTES_MAX {
            return Ok(text);
        }
        if length > SHORTEST {
            length = (length / 2).max(SHORTEST);
            for left in &mut shorter.left {
                let Problem { message, hint, .. } = &mut left.problem;
                *message = cut(message, length);
                *hint = cut(hint, length);
            }
        } else if shorter.left.len() > 1 {
            shorter.left.pop();
        } else if shorter.sinks.pop().is_none() && shorter.sources.pop().is_none() {
            // Of one that stayed, only names are left: they have bounds of their own.
            return Ok(text);
        }
    }
}

/// At most so many bytes, at the end of a character, with a sign where something is missing.
fn cut(text: &str, bytes: usize) -> String {
    const SIGN: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(SIGN.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SIGN}", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use afterbay_crds::reason::Reason;
    use afterbay_crds::retirement::LeftBehind;

    use super::*;

    fn left(count: usize, words: usize) -> Retirement {
        let one = |number| LeftBehind {
            subject: format!("sink shop/orders{number}"),
            problem: Reason::LeftBehind.problem("größer ".repeat(words), "do \"this\" ".repeat(words)),
        };
        Retirement { sinks: Vec::new(), sources: vec!["shop/shop".to_owned()], left: (0..count).map(one).collect() }
    }

    fn check(retirement: &Retirement) -> Retirement {
        let text = bounded(retirement).unwrap();
        assert!(text.len() <= BYTES_MAX, "{}", text.len());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_fits_stays_whole() {
        let small = left(2, 10);
        assert_eq!(check(&small), small);
    }

    #[test]
    fn what_does_not_fit_is_shortened_and_can_still_be_read() {
        let long = check(&left(1, 2000));
        assert!(long.left[0].problem.message.ends_with('…') && long.left[0].problem.message.len() > 500);
        assert_eq!(long.left[0].problem.reason, "LeftBehind");
        let many = check(&left(500, 100));
        assert!(many.left.len() > 5 && many.left[0].subject == "sink shop/orders0");
        let gone =
            Retirement { sinks: (0..1000).map(|n| format!("shop/orders{n}")).collect(), ..Retirement::default() };
        assert!(!check(&gone).sinks.is_empty());
    }
}

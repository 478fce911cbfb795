//! What is said of each resource, after the Kubernetes API conventions and kstatus. Pure: the clock is an argument.
//!
//! Conditions come of a chain of verdicts: the first that tells a problem, or else the first that is not good, gives `Ready` its reason and
//! its message.

pub mod connection;
pub mod facet;
pub mod kept;
pub mod sink;
pub mod source;
mod steady;
#[cfg(test)]
mod tests;

use afterbay_crds::manifest::ManifestError;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use facet::ends_by_itself;

/// The condition that says whether all is well.
pub const READY: &str = "Ready";
/// True while something is to become well by itself.
pub const RECONCILING: &str = "Reconciling";
/// True where nothing becomes well by itself.
pub const STALLED: &str = "Stalled";

/// How long a condition's message may be, in bytes (the API's own limit is 32 KiB; people read one sentence).
const LONGEST: usize = 2048;

/// What is found of one aspect of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it is to be.
    Good(Said),
    /// It is not yet; it will be, if nothing goes wrong.
    Coming(Said),
    /// A problem keeps it from being so, which can end by itself.
    Passing(Said),
    /// A problem keeps it from being so, which somebody has to do something about.
    Bad(Said),
}

/// A reason, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Said {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

impl Verdict {
    /// All is well.
    pub fn good(reason: &str, message: impl Into<String>) -> Self {
        Self::Good(Said::new(reason, message))
    }

    /// It is on its way.
    pub fn coming(reason: &str, message: impl Into<String>) -> Self {
        Self::Coming(Said::new(reason, message))
    }

    /// A problem: one that can end by itself is waited for.
    pub fn of(problem: &Problem) -> Self {
        let said = Said::new(&problem.reason, in_a_sentence(problem));
        if ends_by_itself(&problem.reason) { Self::Passing(said) } else { Self::Bad(said) }
    }

    /// Whether it is good.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    fn said(&self) -> &Said {
        match self {
            Self::Good(said) | Self::Coming(said) | Self::Passing(said) | Self::Bad(said) => said,
        }
    }

    /// Whether it is told as a problem, and not only as what is not there yet.
    fn is_problem(&self) -> bool {
        matches!(self, Self::Passing(_) | Self::Bad(_))
    }
}

/// Of what is not good, what says most: that something has not begun says less than the problem for which it has not. None: all is good.
fn worst<'v>(verdicts: impl Iterator<Item = &'v Verdict>) -> Option<&'v Verdict> {
    let lacking: Vec<_> = verdicts.filter(|verdict| !verdict.is_good()).collect();
    lacking.iter().find(|verdict| verdict.is_problem()).or(lacking.first()).copied()
}

/// What happened, and what to do about it.
fn in_a_sentence(problem: &Problem) -> String {
    if problem.hint.is_empty() {
        return problem.message.clone();
    }
    format!("{} · what to do: {}", problem.message, problem.hint)
}

/// Manifests that are wrong, as a problem: the first mistake, and how many more there are.
pub fn invalid(errors: &[ManifestError]) -> Problem {
    let Some(first) = errors.first() else { return Reason::ManifestInvalid.problem("", "") };
    let at = match &first.place.resource {
        Some(resource) if first.field.is_empty() => format!("{resource}: "),
        Some(resource) => format!("{resource}: {}: ", first.field),
        None => String::new(),
    };
    let more = match errors.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more mistake)".to_owned(),
        more => format!(" (and {more} more mistakes)"),
    };
    Reason::ManifestInvalid.problem(format!("{at}{}{more}", first.what), first.remedy.clone())
}

/// The conditions of these verdicts, the kinds of condition in order; `Ready` is the last verdict's, if all others are good.
pub fn conditions(
    before: &[Condition],
    generation: Option<i64>,
    verdicts: &[(&str, Verdict)],
    ready: &Verdict,
    now: Timestamp,
) -> Vec<Condition> {
    let worst = worst(verdicts.iter().map(|(_, verdict)| verdict)).unwrap_or(ready);
    let mut all = vec![condition(READY, worst)];
    all.extend(verdicts.iter().map(|(kind, verdict)| condition(kind, verdict)));
    let is_true = |kind, said: &Said| condition(kind, &Verdict::Good(said.clone()));
    match worst {
        Verdict::Good(_) => {}
        Verdict::Coming(said) | Verdict::Passing(said) => all.push(is_true(RECONCILING, said)),
        Verdict::Bad(said) => all.push(is_true(STALLED, said)),
    }
    for condition in &mut all {
        since(condition, before, generation, now);
    }
    all
}

/// A condition that is there only where it is true, and says nothing against the others.
fn warning(kind: &str, problem: &Problem, before: &[Condition], generation: Option<i64>, now: Timestamp) -> Condition {
    let mut condition = condition(kind, &Verdict::good(&problem.reason, in_a_sentence(problem)));
    since(&mut condition, before, generation, now);
    condition
}

/// Of what generation it is, and since when it is so; where only what varies from try to try has changed, nothing has.
fn since(condition: &mut Condition, before: &[Condition], generation: Option<i64>, now: Timestamp) {
    condition.observed_generation = generation;
    let was = before.iter().find(|was| was.type_ == condition.type_ && was.status == condition.status);
    condition.last_transition_time = was.map_or(Time(now), |was| was.last_transition_time.clone());
    let same = was.filter(|was| was.reason == condition.reason && was.observed_generation == generation);
    if let Some(was) = same.filter(|was| steady::is_alike(&condition.reason, &was.message, &condition.message)) {
        condition.message.clone_from(&was.message);
    }
}

fn condition(kind: &str, verdict: &Verdict) -> Condition {
    let said = verdict.said();
    Condition {
        type_: kind.to_owned(),
        status: if verdict.is_good() { "True" } else { "False" }.to_owned(),
        reason: said.reason.clone(),
        message: cut(&said.message),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: None,
    }
}

fn cut(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", &message[..end])
}

/// The condition `Ready`.
pub fn ready_of(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == READY)
}

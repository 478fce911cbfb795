//! Which aspect of a Sink a problem is about, and whether it can end by itself.

/// An aspect of a Sink; each is a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facet {
    /// Kafka answers.
    Connection,
    /// Topics and rights are there.
    Topic,
    /// The registry takes the schemas.
    Schema,
    /// The source is read, table and publication fit.
    Source,
    /// The worker runs.
    Runtime,
    /// What the Sink itself does with rows and messages.
    Carrying,
}

/// What a problem is about.
pub fn facet(reason: &str) -> Facet {
    match reason {
        "KafkaUnreachable" | "KafkaAuthenticationFailed" | "KafkaTlsFailed" | "KafkaConfigRefused" => Facet::Connection,
        "KafkaNotAuthorized"
        | "KafkaAuthorizerMissing"
        | "TopicNotFound"
        | "TopicCreationRefused"
        | "TopicDiffers"
        | "TopicNotChecked"
        | "TopicChanged"
        | "TopicReplaced"
        | "ProgressTopicUnfit"
        | "ProgressTopicWeak"
        | "ProgressMissing"
        | "ProgressUnreadable"
        | "ProgressUndecided" => Facet::Topic,
        "RegistryUnreachable"
        | "RegistryAuthenticationFailed"
        | "RegistryTlsFailed"
        | "SchemaRefused"
        | "CompatibilityDiffers"
        | "RegistryFailed" => Facet::Schema,
        "SourceUnreachable"
        | "SourceAuthenticationFailed"
        | "SourceTlsFailed"
        | "SourceNotPermitted"
        | "DatabaseNotFound"
        | "SourceNotPrimary"
        | "WalLevelTooLow"
        | "ReplicationSlotsExhausted"
        | "PublicationNotOwned"
        | "PublicationIncomplete"
        | "PublicationChanged"
        | "SlotInUse"
        | "SlotUnfit"
        | "SlotLost"
        | "SlotAheadOfProgress"
        | "SlotKept"
        | "TablesLeftOut"
        | "TablesLeft"
        | "TablesReturned"
        | "SourceIdentityChanged"
        | "ProgressBeyondSource"
        | "ReplayDiffers"
        | "SynchronousStandby"
        | "TableNotFound"
        | "TableUnfit"
        | "ColumnNotFound"
        | "KeyNotUnique"
        | "ReplicaIdentityInsufficient"
        | "SourceFailed" => Facet::Source,
        "PlanInvalid" | "SecretUnreadable" | "WorkerExited" | "WorkerNotStarted" => Facet::Runtime,
        _ => Facet::Carrying,
    }
}

/// Whether a problem with a source is about all of it: its server, its slot, its log. The others are those of one Sink, of its table or of
/// how far it has come, and another Sink could be carried.
pub fn is_of_whole_source(reason: &str) -> bool {
    matches!(
        reason,
        "SourceUnreachable"
            | "SourceAuthenticationFailed"
            | "SourceTlsFailed"
            | "DatabaseNotFound"
            | "SourceNotPrimary"
            | "WalLevelTooLow"
            | "ReplicationSlotsExhausted"
            | "SlotInUse"
            | "SlotUnfit"
            | "SynchronousStandby"
            | "SourceFailed"
    )
}

/// Whether a problem can end without anybody changing a resource of ours, a setting or a right: what does not answer may
/// come to answer, what ended is started again.
pub fn ends_by_itself(reason: &str) -> bool {
    matches!(
        reason,
        "KafkaUnreachable"
            | "RegistryUnreachable"
            | "SourceUnreachable"
            | "SourceNotPrimary"
            | "SourceFailed"
            | "SlotInUse"
            | "Fenced"
            | "TransactionFailed"
            | "SinkHeldUp"
            | "WorkerExited"
            | "WorkerNotStarted"
            | "RegistryFailed"
    )
}

#[cfg(test)]
mod tests {
    use afterbay_crds::reason::Reason;

    use super::*;

    /// A reason that is new is to be thought about here.
    #[test]
    fn what_is_about_the_sink_itself_is_known() {
        let own: Vec<_> = Reason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .filter(|reason| facet(reason) == Facet::Carrying)
            .collect();
        assert_eq!(
            own,
            [
                "SourceTruncated",
                "SchemaChanged",
                "SnapshotTooLong",
                "Fenced",
                "TransactionFailed",
                "SinkHeldUp",
                "MessageTooLarge",
                "ExpressionInvalid",
                "FormatUnfit",
                "ValueNotEncodable",
                "KeyRepeated",
                "StartAtRefused",
                "ManifestInvalid",
                "QueryInvalid",
                "ValueNotComputable",
                "Undeclared",
                "LeftBehind",
            ]
        );
    }

    #[test]
    fn what_is_about_a_whole_source_is_about_a_source() {
        let whole: Vec<_> = Reason::ALL.iter().filter(|reason| is_of_whole_source(reason.as_str())).collect();
        assert_eq!(whole.len(), 11);
        assert!(whole.iter().all(|reason| facet(reason.as_str()) == Facet::Source));
    }

    #[test]
    fn what_ends_by_itself_is_a_reason() {
        let ending = Reason::ALL.iter().filter(|reason| ends_by_itself(reason.as_str()));
        assert_eq!(ending.count(), 12);
    }
}

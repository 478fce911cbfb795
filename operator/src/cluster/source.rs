//! The reconciler of SourceConnectors: all that their workers need.

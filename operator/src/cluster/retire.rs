//! What goes with Sinks and SourceConnectors that are deleted.

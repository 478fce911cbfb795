//! Whatever fails in the cluster while somebody writes: every change stands once, in order per key, and what is declared comes
//! about.

mod api_server;
mod leader;
mod leaving;
mod node;
mod operator;
mod worker;

//! One struct per fact: log line and metric together.

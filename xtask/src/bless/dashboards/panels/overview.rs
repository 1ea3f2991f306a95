//! The overview of findings and incidents, for the SOC.

use crate::bless::dashboards::{
    Form::{Bars, Number, Ranking, Table, Trouble},
    Row, panel,
};

pub(in crate::bless::dashboards) const OVERVIEW: &[Row] = &[
    Row {
        title: "Now",
        panels: &[
            panel(
                Trouble,
                4,
                "short",
                "Critical findings",
                "In the time shown.",
                &[(r#"ceil(sum(increase(tokenhound_findings_total{@,severity="critical"}[$__range])))"#, "critical")],
            ),
            panel(
                Trouble,
                4,
                "short",
                "High findings",
                "In the time shown.",
                &[(r#"ceil(sum(increase(tokenhound_findings_total{@,severity="high"}[$__range])))"#, "high")],
            ),
            panel(
                Trouble,
                4,
                "short",
                "Copies of tokens",
                "Files outside of stores that hold a token and are not known to be gone.",
                &[("sum(tokenhound_token_copies{@}) or vector(0)", "copies")],
            ),
            panel(
                Number,
                4,
                "short",
                "Tokens in stores",
                "That have not ended by themselves.",
                &[("sum(tokenhound_tokens_tracked{@}) or vector(0)", "tokens")],
            ),
            panel(Number, 4, "short", "Machines watched", "Agents that answer.", &[("sum(up{@})", "machines")]),
            panel(
                Trouble,
                4,
                "short",
                "Machines that do not answer",
                "Nothing is watched there.",
                &[("count(up{@} == 0) or vector(0)", "machines")],
            ),
        ],
    },
    Row {
        title: "Incidents",
        panels: &[
            panel(
                Number,
                4,
                "short",
                "Open incidents",
                "Findings of one process tree or one token are one incident.",
                &[("sum(tokenhound_incidents_open{@}) or vector(0)", "open")],
            ),
            panel(
                Bars,
                20,
                "short",
                "Incidents by severity",
                "That opened with it, or rose to it: one that rises counts at each.",
                &[("sum by (severity) (increase(tokenhound_incidents_total{@}[$__rate_interval]))", "{{severity}}")],
            ),
        ],
    },
    Row {
        title: "Findings",
        panels: &[
            panel(
                Bars,
                16,
                "short",
                "Findings by severity",
                "Before any sink.",
                &[("sum by (severity) (increase(tokenhound_findings_total{@}[$__rate_interval]))", "{{severity}}")],
            ),
            panel(
                Table,
                8,
                "short",
                "Alerts that fire",
                "Of the rules in dashboards/prometheus.",
                &[(
                    r#"sum by (alertname, severity) (ALERTS{alertname=~"Tokenhound.*",alertstate="firing"})"#,
                    "alerts",
                )],
            ),
            panel(
                Table,
                12,
                "short",
                "Detectors",
                "Findings in the time shown.",
                &[(
                    "ceil(sum by (detector, severity) (increase(tokenhound_findings_total{@}[$__range]))) > 0",
                    "findings",
                )],
            ),
            panel(
                Ranking,
                12,
                "short",
                "Machines with most findings",
                "Of medium severity and above, in the time shown.",
                &[(
                    r#"topk(10, ceil(sum by (instance) (increase(tokenhound_findings_total{@,severity=~"medium|high|critical"}[$__range]))) > 0)"#,
                    "{{instance}}",
                )],
            ),
        ],
    },
    Row {
        title: "Who reads tokens",
        panels: &[
            panel(
                Bars,
                12,
                "short",
                "Reads by verdict",
                "expected: its own tool; tolerated: a policy exception; unexpected: neither.",
                &[("sum by (verdict) (increase(tokenhound_store_reads_total{@}[$__rate_interval]))", "{{verdict}}")],
            ),
            panel(
                Bars,
                12,
                "short",
                "Unexpected reads by actor",
                "On whose behalf the reader acted.",
                &[(
                    r#"sum by (actor) (increase(tokenhound_store_reads_total{@,verdict="unexpected"}[$__rate_interval]))"#,
                    "{{actor}}",
                )],
            ),
            panel(
                Ranking,
                12,
                "short",
                "Stores read most by what they do not belong to",
                "In the time shown.",
                &[(
                    r#"topk(10, ceil(sum by (store) (increase(tokenhound_store_reads_total{@,verdict="unexpected"}[$__range]))))"#,
                    "{{store}}",
                )],
            ),
            panel(
                Bars,
                12,
                "short",
                "Changes of stores",
                "Links, renames, permissions, owners and mounts, and closes after writing.",
                &[("sum by (change) (increase(tokenhound_store_changes_total{@}[$__rate_interval]))", "{{change}}")],
            ),
        ],
    },
];
